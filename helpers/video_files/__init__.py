"""Video files: their frames by ffmpeg, and how it is called. `helpers.video` is the door."""
