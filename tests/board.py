"""What TensorBoard makes of a folder of runs, by its own reading, asked without its server."""

# pyright: reportAttributeAccessIssue=false
# (protobuf makes its classes when it is imported, where a type checker does not see them)
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.data.provider import RunTagFilter
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

STATUSES = [getattr(api_pb2, f"STATUS_{name}") for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]


class Board:
    """A TensorBoard that has just been started on ``folder``."""

    def __init__(self, folder: Path) -> None:
        # A text page shows up to ten steps of each tag.
        self._events = EventMultiplexer(tensor_size_guidance={"text": 10})
        self._events.AddRunsFromDirectory(str(folder))
        self._events.Reload()
        self._data = MultiplexerDataProvider(self._events, str(folder))
        self._hparams = Context(SimpleNamespace(data_provider=self._data))

    @property
    def runs(self) -> set[str]:
        return set(self._events.Runs())

    def columns(self) -> list[str]:
        """The columns of the hyperparameters tab in the order in which it shows them."""
        request = api_pb2.GetExperimentRequest()
        experiment = get_experiment.Handler(RequestContext(), self._hparams, "", request).run()
        return [info.name for info in experiment.hparam_infos]

    def sessions(self) -> dict[str, Any]:
        """The rows of the hyperparameters tab by run: a status, and values by column."""
        request = api_pb2.ListSessionGroupsRequest(allowed_statuses=STATUSES, start_index=0, slice_size=100)
        groups = list_session_groups.Handler(RequestContext(), self._hparams, "", request).run().session_groups
        return {group.sessions[0].name: _row(group) for group in groups}

    def texts(self, run: str = ".") -> dict[str, list[tuple[int, str]]]:
        """The steps and words of the text page by tag."""
        wanted = RunTagFilter(runs=[run])
        found = self._data.read_tensors(
            RequestContext(), experiment_id="", plugin_name="text", downsample=100, run_tag_filter=wanted
        )
        return {
            tag: [(one.step, one.numpy.ravel()[0].decode()) for one in series]
            for tag, series in found.get(run, {}).items()
        }

    def scalars(self, tag: str, run: str = ".") -> list[tuple[int, float]]:
        """The steps and values of ``tag``."""
        wanted = RunTagFilter(runs=[run], tags=[tag])
        found = self._data.read_scalars(
            RequestContext(), experiment_id="", plugin_name="scalars", downsample=1000, run_tag_filter=wanted
        )
        return [(one.step, one.value) for one in found.get(run, {}).get(tag, [])]


def _row(group: Any) -> SimpleNamespace:
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}
    status = api_pb2.Status.Name(group.sessions[0].status)
    return SimpleNamespace(values=values, status=status.removeprefix("STATUS_"))
