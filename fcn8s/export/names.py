"""The names of input and outputs, the same in every format. Loads no TensorFlow."""

IMAGES = 'images'
CLASS_IDS, PROBABILITIES, LOGITS = 'class_ids', 'probabilities', 'logits'
# uint8 [N, H, W]; float32 [N, H, W, C]; float32 [N, H, W, C].
OUTPUTS = (CLASS_IDS, PROBABILITIES, LOGITS)
