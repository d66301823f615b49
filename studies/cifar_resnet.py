"""ResNet-20, -32, -44 and -56 for CIFAR-10. Their tensors have the names of published weights.

A study can load one of them as its teacher, so that no teacher is trained:

    task: {data: cifar10.npz, normalise: {mean: [.485, .456, .406], std: [.229, .224, .225]}}
    teacher: {network: studies/cifar_resnet.py:resnet20, weights: resnet20.npz}

Source: He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1512.03385, section 4.2, with shortcuts of option A. The
names of the tensors are those of the weights of https://github.com/akamaster/pytorch_resnet_cifar10.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def resnet20() -> nn.Module:
    """Three blocks a stage: 269,722 parameters."""
    return ResNet(3)


def resnet32() -> nn.Module:
    """Five blocks a stage: 464,154 parameters."""
    return ResNet(5)


def resnet44() -> nn.Module:
    """Seven blocks a stage: 658,586 parameters."""
    return ResNet(7)


def resnet56() -> nn.Module:
    """Nine blocks a stage: 853,018 parameters."""
    return ResNet(9)


class ResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels. The second and the third halve the size of the images.

    Args:
        blocks: the blocks in each stage; a block has two convolutions.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks)
        self.layer2 = _stage(16, 32, blocks)
        self.layer3 = _stage(32, 64, blocks)
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (batch, 10), of images of shape (batch, 3, 32, 32)."""
        features = functional.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        return self.linear(features.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two convolutions beside a shortcut without parameters: every second pixel, with zero channels on both sides."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.stride = channels // channels_in
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.padding = (channels - channels_in) // 2

    def forward(self, features: Tensor) -> Tensor:
        """Shape (batch, channels, height / stride, width / stride)."""
        shortcut = features[:, :, :: self.stride, :: self.stride]
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding))
        features = functional.relu(self.bn1(self.conv1(features)))
        return functional.relu(self.bn2(self.conv2(features)) + shortcut)


def _stage(channels_in: int, channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Block(channels_in, channels), *(Block(channels, channels) for _ in range(blocks - 1)))
