"""The names of signature, input and outputs, the same in every format that has them. Loads no TensorFlow."""

SIGNATURE = 'serving_default'
IMAGES = 'images'
CLASS_IDS, PROBABILITIES, LOGITS = 'class_ids', 'probabilities', 'logits'
# uint8 [N, H, W]; float32 [N, H, W, C]; float32 [N, H, W, C].
OUTPUTS = (CLASS_IDS, PROBABILITIES, LOGITS)
