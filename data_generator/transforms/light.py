"""Changing the light and the colours of images, uint8 `[H, W, 3]` RGB. Nothing is changed in place."""

import cv2
import numpy as np


def change_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies the V channel of HSV by a factor.

    V = max(R, G, B), so with hue and saturation kept, R, G and B are all multiplied by the factor. Each channel
    saturates at 255 on its own, as on an overexposed sensor.
    """
    return cv2.convertScaleAbs(image, alpha=factor)


# Luma and chroma of the NTSC system (https://en.wikipedia.org/wiki/YIQ): Y is the lightness, and a rotation of (I, Q)
# changes the hue and leaves greys as they are.
_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def change_colors(image: np.ndarray, contrast: float, saturation: float, hue: float) -> np.ndarray:
    """Scales contrast about the middle grey (128) and saturation about grey by factors; turns the hue by degrees."""
    angle = np.deg2rad(hue)
    cosine, sine = saturation * np.cos(angle), saturation * np.sin(angle)
    in_yiq = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    mixing = contrast * np.linalg.inv(_RGB_TO_YIQ).dot(in_yiq).dot(_RGB_TO_YIQ)
    return cv2.transform(image, np.hstack([mixing, np.full((3, 1), 128 * (1 - contrast))]))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs with a Gaussian; `sigma` is its standard deviation in pixels, and 0 leaves the image unchanged."""
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image


def to_gray(image: np.ndarray) -> np.ndarray:
    """Returns the luma in all three channels, so that an encoder for RGB still fits."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
