"""A reading: sounds in WAV files become spectrograms. As a script, it makes 240 short sounds of four kinds.

python own_reading.py
"""

from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import chirp, spectrogram

RATE = 4000


class Spectrogram:
    """How loud a sound is, in decibels, by frequency band and time: shape (files, bands, 31) for one second."""

    def __init__(self, bands=16):
        self.bands = bands

    def batch(self, paths):
        return np.stack([self.read(path) for path in paths])

    def read(self, path):
        rate, sound = wavfile.read(path)
        power = spectrogram(sound / 32768, rate, nperseg=128, noverlap=0)[2]
        bands = [band.mean(axis=0) for band in np.array_split(power[1:], self.bands)]
        return (10 * np.log10(np.stack(bands) + 1e-9)).astype(np.float32)


def make_sounds(folder="sounds", each=60):
    """Writes folder/KIND/NUMBER.wav, one second each, in noise, and gives the names of the files."""
    random, time, files = np.random.default_rng(0), np.arange(RATE) / RATE, []
    for kind in ("falling", "noise", "rising", "tone"):
        for number in range(each):
            low, high = random.uniform(300, 700), random.uniform(900, 1700)
            if kind == "noise":
                sound = random.normal(0, 0.5, RATE)
            else:
                start, end = {"falling": (high, low), "rising": (low, high), "tone": (low, low)}[kind]
                sound = chirp(time, start, 1, end)
            sound = 0.2 * (sound + random.normal(0, 1.5, RATE))
            file = Path(folder) / kind / f"{number:03}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            wavfile.write(file, RATE, (32767 * sound.clip(-1, 1)).astype(np.int16))
            files.append(str(file))
    return files


if __name__ == "__main__":
    make_sounds()
