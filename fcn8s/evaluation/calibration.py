"""Does a confidence of 80 % mean that 80 % are right? Expected calibration error (Guo, Pleiss, Sun, Weinberger, "On
Calibration of Modern Neural Networks", ICML 2017, section 2). Letters: B bins.
"""

from typing import Any, Dict

import numpy as np


def expected_calibration_error(counts: np.ndarray, correct: np.ndarray, confidence_sums: np.ndarray) -> float:
    """Computes ECE = sum_b (n_b / n) |acc(b) - conf(b)|, equation 3 of the paper; NaN without a pixel.

    Args:
        counts: Pixels n_b per bin, integers [B].
        correct: Those of them with the right class, integers [B].
        confidence_sums: Sum of their confidences, float64 [B].
    """
    total = counts.sum()
    # n_b acc(b) is the number of correct pixels and n_b conf(b) the sum of confidences, so n_b divides out.
    return float(np.abs(correct - confidence_sums).sum() / total) if total else float('nan')


def summarize_calibration(counts: np.ndarray, correct: np.ndarray, confidence_sums: np.ndarray) -> Dict[str, Any]:
    """Returns 'expected_calibration_error' and, per bin and NaN where empty, 'bin_accuracy' and 'bin_confidence'
    (float64 [B]), with 'bin_counts' (int64 [B]). Arguments as of `expected_calibration_error`.
    """
    filled = np.maximum(counts, 1)
    return {
        'expected_calibration_error': expected_calibration_error(counts, correct, confidence_sums),
        'bin_counts': np.asarray(counts, dtype=np.int64),
        'bin_accuracy': np.where(counts > 0, correct / filled, np.nan),
        'bin_confidence': np.where(counts > 0, confidence_sums / filled, np.nan),
    }
