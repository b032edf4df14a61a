"""Writes a run for TensorBoard; tags are not changed."""

# pyright: reportAttributeAccessIssue=false
# (protobuf creates its classes at import, so a type checker does not see them)
from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.text import metadata as text

from ganrun.config.hparams import FIRST
from ganrun.methods.metric_spec import Chart
from ganrun.storage.growing_files import ABOUT
from ganrun.writers.base import Entry
from ganrun.writers.event_file import EventFile, Value

DIVERGENCES = Chart("Jensen-Shannon divergence (nats)", reference=("log_2", float(np.log(2.0))))
OF_DIVERGENCES = r"^jsd/(online|exact|smoothed|probe|probe_lower)$"
ROTATE = 1 << 26  # size in bytes beyond which the next file is started
STATUS = {
    "completed": api_pb2.STATUS_SUCCESS,
    "pruned": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "stopped": api_pb2.STATUS_UNKNOWN,
}


class TensorBoard:
    """Writes scalars, pictures, histograms, the charts' layout and the hyperparameters of one run.

    Args:
        folder: the run directory.
        hyperparameters: flat, by dotted key.
        pages: Markdown by tag, for the text page.
        resumed_at: the step at which the run is resumed; TensorBoard discards the events after it.
        charts: of the method's metrics.
        divergences: whether the run logs divergences, which have a chart of their own.
    """

    def __init__(
        self,
        folder: Path,
        hyperparameters: dict[str, Any],
        pages: dict[str, str] | None = None,
        resumed_at: int | None = None,
        charts: Sequence[Chart] = (),
        divergences: bool = True,
    ) -> None:
        self._folder, self._charts = folder, (*charts, *([DIVERGENCES] if divergences else []))
        self._copied = {tag: f"chart/{name}" for chart in charts for tag, name in chart.curves.items()}
        # TensorBoard can draw horizontal lines only as scalars.
        lines = [chart.reference for chart in self._charts if chart.reference is not None]
        self._references = {f"chart/{name}": value for name, value in lines}
        self._describe(hyperparameters, pages or {})
        self._file = EventFile(folder)
        if resumed_at is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._file.event(resumed_at + 1, session_log=start)

    def _describe(self, hyperparameters: dict[str, Any], pages: dict[str, str]) -> None:
        """Write the description of the run to a file of its own, which replaces that of an earlier session.

        TensorBoard shows the first hyperparameters that it finds, so a resumed run must not leave old ones.
        """
        before = list(self._folder.glob(f"events.out.tfevents.*{ABOUT}"))
        about = EventFile(self._folder, ABOUT)
        texts = [_text(tag, words) for tag, words in pages.items()]
        about.summary(0, [_layout(self._charts), _session_start(hyperparameters), *texts])
        about.close()
        for path in before:
            path.unlink(missing_ok=True)

    def write(self, entry: Entry) -> None:
        if self._file.size > ROTATE:
            self._file.close()
            self._file = EventFile(self._folder)
        copies = {self._copied[tag]: value for tag, value in entry.scalars.items() if tag in self._copied}
        scalars = entry.scalars | copies | self._references
        values = [Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        values += [_histogram(tag, data) for tag, data in entry.histograms.items()]
        values += [_image(tag, png) for tag, png in entry.pictures.items()]
        if entry.findings:
            values.append(_text("diagnosis", "\n\n".join(entry.findings)))
        self._file.summary(entry.step, values)

    def flush(self) -> None:
        self._file.flush()

    def close(self, status: str) -> None:
        end = plugin_data_pb2.SessionEndInfo(status=STATUS[status], end_time_secs=time.time())
        content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        metadata = hparams.create_summary_metadata(content)
        self._file.summary(0, [Value(tag=hparams.SESSION_END_INFO_TAG, metadata=metadata, tensor=_NOTHING)])
        self._file.close()


_NOTHING = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=tensor_shape_pb2.TensorShapeProto())


def _text(tag: str, words: str) -> Any:
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
        string_val=[words.encode()],
    )
    return Value(tag=tag, metadata=text.create_summary_metadata(None, None), tensor=tensor)


def _layout(charts: Sequence[Chart]) -> Any:
    drawn = [
        layout_pb2.Chart(title=chart.title, multiline=layout_pb2.MultilineChartContent(tag=_patterns(chart)))
        for chart in charts
    ]
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="training", chart=drawn)])
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        string_val=[layout.SerializeToString()],
    )
    return Value(tag=custom_scalar.CONFIG_SUMMARY_TAG, metadata=custom_scalar.create_summary_metadata(), tensor=tensor)


def _patterns(chart: Chart) -> list[str]:
    """Return regular expressions of the tags of ``chart``."""
    names = [*chart.curves.values(), *([chart.reference[0]] if chart.reference else [])]
    return [*([OF_DIVERGENCES] if chart is DIVERGENCES else []), *(f"^chart/{name}$" for name in names)]


def _session_start(hyperparameters: dict[str, Any]) -> Any:
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for key, value in hyperparameters.items():
        column = info.hparams[_column(key)]
        if isinstance(value, bool):
            column.bool_value = value
        elif isinstance(value, (int, float)):
            column.number_value = value
        else:
            column.string_value = str(value)
    metadata = hparams.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_start_info=info))
    return Value(tag=hparams.SESSION_START_INFO_TAG, metadata=metadata, tensor=_NOTHING)


def _column(key: str) -> str:
    """Return the name of a hyperparameter's column.

    TensorBoard sorts columns by name, those that differ between runs first, and has no other order. Leading spaces put
    a column earlier, since a space sorts before every letter, and a browser does not show them.
    """
    return " " * (len(FIRST) - FIRST.index(key)) + key if key in FIRST else key


def _histogram(tag: str, data: np.ndarray) -> Any:
    data = np.asarray(data, np.float64).ravel()
    counts, edges = np.histogram(data, bins=30)
    histogram = summary_pb2.HistogramProto(
        min=data.min(),
        max=data.max(),
        num=data.size,
        sum=data.sum(),
        sum_squares=np.square(data).sum(),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.tolist(),
    )
    return Value(tag=tag, histo=histogram)


def _image(tag: str, png: bytes) -> Any:
    width, height = struct.unpack(">II", png[16:24])  # the first fields of a PNG's header
    return Value(
        tag=tag,
        image=summary_pb2.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png),
    )
