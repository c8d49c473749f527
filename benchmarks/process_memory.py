"""The memory that a benchmark took."""


def peak_memory():
    """Peak resident gigabytes of this process, on Linux; ru_maxrss would start at the peak of its parent."""
    with open('/proc/self/status', encoding='ascii') as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith('VmHWM:'))
    return float(kilobytes) / 1e6
