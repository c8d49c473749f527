"""The weights of `keras.applications.VGG16(weights='imagenet')`, fetched and checked by Keras itself."""

from fcn8s.backend import tf

# The file and its MD5 as in the source of `keras.applications.vgg16`.
FILE_NAME = 'vgg16_weights_tf_dim_ordering_tf_kernels.h5'
URL = 'https://storage.googleapis.com/tensorflow/keras-applications/vgg16/' + FILE_NAME
MD5 = '64373286793e3c8b2b4e3219cbf3544b'


def fetch_keras_weights() -> str:
    """Returns the path of the weights in Keras' cache (`~/.keras/models`); downloads 528 MB if they are not there.

    Raises OSError where the download fails, as without an internet connection.
    """
    try:
        return tf.keras.utils.get_file(FILE_NAME, URL, cache_subdir='models', file_hash=MD5)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise OSError(
            '--weights keras downloads {} through Keras, which failed: {}. Without a network, pass the path '
            'of any VGG-16 weights file, or take --weights hed or --weights random.'.format(URL, error)
        ) from error
