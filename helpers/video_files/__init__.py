"""Video files: their frames by ffmpeg, and how ffmpeg is run. `helpers.video` is the interface."""
