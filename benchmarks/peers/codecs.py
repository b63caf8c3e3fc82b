"""hivemind's codecs. Runs in the peers' environment, where nothing of ours is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from hivemind.compression import deserialize_torch_tensor, serialize_torch_tensor
from hivemind.proto import runtime_pb2
from torch import Tensor

CODECS: Final = {
    "Float16": runtime_pb2.FLOAT16,
    "ScaledFloat16": runtime_pb2.MEANSTD_16BIT,
    "Uniform8Bit": runtime_pb2.UNIFORM_8BIT,
    "Quantile8Bit": runtime_pb2.QUANTILE_8BIT,
    "BlockwiseQuantization": runtime_pb2.BLOCKWISE_8BIT,
}


def encode(codec: str, tensors: Mapping[str, Tensor]) -> list[bytes]:
    return [serialize_torch_tensor(tensor, CODECS[codec]).SerializeToString() for tensor in tensors.values()]


def decode(blobs: list[bytes]) -> list[Tensor]:
    return [deserialize_torch_tensor(runtime_pb2.Tensor.FromString(blob)) for blob in blobs]


def relative_error(tensors: Mapping[str, Tensor], decoded: list[Tensor]) -> float:
    missed = sum(float((it - back).double().square().sum()) for it, back in zip(tensors.values(), decoded, strict=True))
    return float((missed / sum(float(it.double().square().sum()) for it in tensors.values())) ** 0.5)


def read(path: str, shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """A file of all values one after another, each tensor with memory of its own."""
    flat = torch.from_file(path, size=sum(torch.Size(shape).numel() for shape in shapes.values()))
    parts = flat.split([torch.Size(shape).numel() for shape in shapes.values()])
    return {name: part.reshape(shape).clone() for (name, shape), part in zip(shapes.items(), parts, strict=True)}
