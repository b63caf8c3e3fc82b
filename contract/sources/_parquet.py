"""Rows of parquet files, as the Hub keeps most datasets. pyarrow is asked for only here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from contract.errors import DataError
from contract.sources._corpus import MAX_CORPUS_BYTES
from contract.sources._files import Found

# Encoded pictures stay in memory: a parquet file cannot be read at a row without unpacking thousands around it.
MAX_PICTURES_BYTES: Final = 4 << 30
_ROWS_AT_A_TIME: Final = 1024
_LABEL_COLUMNS: Final = ("label", "labels", "fine_label")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PictureRows:
    names: list[str]
    contents: list[bytes]
    classes: list[int] | None
    num_classes: int | None


def is_parquet(file: Found) -> bool:
    return file.name.endswith(".parquet")


def text_of(source: str, file: Found, columns: Sequence[str]) -> bytes:
    """The chosen columns of every row, or all that are text, each value on a line of its own."""
    with _opened(source, file) as table:
        known = [field.name for field in table.schema_arrow if _is_text(field.type)]
        missing = [column for column in columns if column not in known]
        if missing or not known:
            raise DataError(
                source,
                f"{file.name} has no column of text named {', '.join(missing)}"
                if missing
                else f"no text in {file.name}",
                f"set data.options.columns to some of: {', '.join(known)}" if known else "choose other files",
            )
        lines: list[bytes] = []
        total = 0
        for batch in _batches(source, file, table, list(columns) or known):
            for row in zip(*(batch.column(column).to_pylist() for column in columns or known), strict=True):
                line = b"".join((value.rstrip("\n") + "\n").encode() for value in row if value is not None)
                total += len(line)
                lines.append(line)
            _require_bounded(source, file, total, MAX_CORPUS_BYTES)
    return b"".join(lines)


def pictures_in(source: str, files: Sequence[Found]) -> PictureRows:
    names: list[str] = []
    contents: list[bytes] = []
    classes: list[int] = []
    num_classes = 0
    labelled = True
    total = 0
    for file in files:
        with _opened(source, file) as table:
            schema = table.schema_arrow
            image = next((field.name for field in schema if _is_image(field.type)), None)
            if image is None:
                raise DataError(source, f"{file.name} has no column of images", "choose other files")
            label = next((name for name in _LABEL_COLUMNS if name in schema.names), None)
            labelled = labelled and label is not None
            num_classes = max(num_classes, _named_classes(schema, label))
            for batch in _batches(source, file, table, [image] if label is None else [image, label]):
                for value in batch.column(image).to_pylist():
                    encoded = (value.get("bytes") if isinstance(value, dict) else value) or b""
                    names.append(f"{file.name} row {len(names)}")
                    contents.append(encoded)
                    total += len(encoded)
                if label is not None:
                    classes += batch.column(label).to_pylist()
                _require_bounded(source, file, total, MAX_PICTURES_BYTES)
    if not labelled or any(not isinstance(number, int) or number < 0 for number in classes):
        return PictureRows(names=names, contents=contents, classes=None, num_classes=None)
    return PictureRows(
        names=names, contents=contents, classes=classes, num_classes=max([num_classes, *(n + 1 for n in classes)])
    )


def _opened(source: str, file: Found) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            source, f"{file.name} is a parquet file, and pyarrow is not installed", 'run `pip install "barnraise[hub]"`'
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(file.path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(source, file, error) from error


def _batches(source: str, file: Found, table: Any, columns: list[str]) -> Iterator[Any]:
    import pyarrow

    try:
        # One thread: the order of the rows is the order of the samples.
        yield from table.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=columns, use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(source, file, error) from error


def _unreadable(source: str, file: Found, error: BaseException) -> DataError:
    return DataError(
        source,
        f"{file.path} is no parquet file, or half of one ({' '.join(str(error).split())})",
        "delete it and let it be downloaded again",
    )


def _require_bounded(source: str, file: Found, total: int, limit: int) -> None:
    if total > limit:
        raise DataError(
            source,
            f"{file.name} unpacks to more than {limit} bytes",
            "choose fewer files, or a dataset of zipped images",
        )


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string")


def _is_image(kind: Any) -> bool:
    text = str(kind)
    return text in ("binary", "large_binary") or (text.startswith("struct<") and "bytes: binary" in text)


def _named_classes(schema: Any, label: str | None) -> int:
    """As many as the Hub's own note in the file names: a part of the data need not show every class."""
    note = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(note)["info"]["features"][label]["names"]
    except (ValueError, LookupError, TypeError):
        return 0
    return len(names) if isinstance(names, list) else 0
