"""Which nodes of a station's pipeline one task of Airflow runs, from the layers of the catalog."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kedro.pipeline import Pipeline

from endline.errors import EndlineError


def layers_of(catalog: Mapping[str, Any], station: str) -> dict[str, str]:
    """Layer of each dataset that a station keeps: dataset -> layer, as Kedro-Viz shows it.

    Args:
        catalog: the entries as configured, `{station}` in their names.
        station: its name.

    Example:
        >>> entry = {"type": "json.JSONDataset", "metadata": {"kedro-viz": {"layer": "reporting"}}}
        >>> layers_of({"{station}.metrics": entry}, "mirror_audio")
        {'mirror_audio.metrics': 'reporting'}
    """
    return {
        name.replace("{station}", station): entry["metadata"]["kedro-viz"]["layer"]
        for name, entry in catalog.items()
        if isinstance(entry, Mapping) and "metadata" in entry
    }


def group_nodes(
    pipeline: Pipeline, layers: Mapping[str, str], tasks: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Names of the nodes of each task, in the order in which the tasks run.

    A node belongs to the task of its outputs' first layer, and never before a node whose outputs it reads. Nodes that
    hand each other something that is not kept belong to one task.

    Args:
        pipeline: of a station.
        layers: dataset -> layer; a dataset without one lives in memory alone.
        tasks: task -> its layers, in order.

    Raises:
        EndlineError: for a layer that no task names.

    Example:
        >>> from kedro.pipeline import node
        >>> nodes = [node(len, "raw", "samples", name="index"), node(sorted, "samples", "report", name="report")]
        >>> layers = {"samples": "primary", "report": "reporting"}
        >>> group_nodes(Pipeline(nodes), layers, {"read": ["primary"], "evaluate": ["reporting"]})
        {'read': ['index'], 'evaluate': ['report']}
    """
    order = {layer: number for number, own in enumerate(tasks.values()) for layer in own}
    for dataset in sorted(pipeline.all_outputs() & layers.keys()):
        if layers[dataset] not in order:
            raise EndlineError(
                f"No task of the schedule makes the layer '{layers[dataset]}', in which {dataset} lies: name it in "
                "`tasks` of conf/base/schedule.yml."
            )
    stage = {
        node.name: min((order[layers[output]] for output in node.outputs if output in layers), default=0)
        for node in pipeline.nodes
    }
    before: dict[str, int] = {}
    while before != stage:
        before = dict(stage)
        for maker, reader, kept in _edges(pipeline, layers):
            stage[reader] = max(stage[reader], stage[maker])
            if not kept:
                stage[maker] = stage[reader]
    groups = {
        task: [node.name for node in pipeline.nodes if stage[node.name] == number] for number, task in enumerate(tasks)
    }
    return {task: names for task, names in groups.items() if names}


def _edges(pipeline: Pipeline, layers: Mapping[str, str]) -> Iterator[tuple[str, str, bool]]:
    """Node, a node that reads an output of it, and whether that output is kept."""
    makers = {output: node.name for node in pipeline.nodes for output in node.outputs}
    for node in pipeline.nodes:
        for dataset in node.inputs:
            if dataset in makers:
                yield makers[dataset], node.name, dataset in layers
