"""The student as those use it who did not train it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from cmkd.batch import Batch
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.preprocessing import Preprocessing, Source, Value
from cmkd.student.assembling import assemble
from cmkd.student.prediction import Failure, Prediction

Task: TypeAlias = Literal["classification", "regression"]
Windows: TypeAlias = dict[str, Tensor]


class Student:
    """A trained student with its preprocessing: files in, predictions out.

    What it says of a clip is what ``cmkd test`` computes for it: the mean over the clip's windows
    of the probabilities and of the embedding. A modality that a sample lacks is masked; one that
    lacks all of them is an error.

    Args:
        network: of the student.
        preprocessing: makes the network's inputs of a source.
        class_names: names of the classes, None where they are not known.
        task: ``classification``, or ``regression`` for one real number.
        device: where the network runs.

    Raises:
        ValueError: when the preprocessing gives other modalities than the network takes, or there
            are not as many class names as classes.
    """

    def __init__(
        self,
        network: ModalityNetwork,
        preprocessing: Preprocessing,
        class_names: Sequence[str] | None = None,
        task: Task = "classification",
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.preprocessing = preprocessing
        self.class_names = None if class_names is None else tuple(class_names)
        self.task = task
        if set(preprocessing.shapes) != set(self.modalities):
            raise ValueError(
                f"the network takes {', '.join(self.modalities)}, the preprocessing gives "
                f"{', '.join(preprocessing.shapes)}"
            )
        outputs = network.num_outputs
        if task == "classification" and self.class_names and len(self.class_names) != outputs:
            raise ValueError(
                f"class_names: there are {len(self.class_names)}, but the network has {outputs} "
                "outputs"
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the student sees."""
        return tuple(self.network.modalities)

    def preprocess(self, source: Source) -> Windows:
        """Return the windows of one source.

        Args:
            source: the path of a file that holds all of the student's modalities, or a mapping
                from modality to path or tensor; a modality that is not named is absent.

        Returns:
            By modality, (V, ...) with V windows of all; an absent modality is left out.

        Raises:
            ValueError: for a source that cannot be read or does not fit.
            OSError: for a file that cannot be opened.
        """
        windows = self.preprocessing.windows(self._values(source))
        counts = {name: len(one) for name, one in windows.items()}
        if not counts or len(set(counts.values())) > 1:
            raise ValueError(f"{name_of(source)}: the modalities' windows are {counts or 'none'}")
        return windows

    def predict(self, source: Source) -> Prediction:
        """Return what the student says of one source.

        Raises:
            ValueError: for a source that cannot be read or does not fit.
            OSError: for a file that cannot be opened.
        """
        return self._predict([(name_of(source), self.preprocess(source))], 16)[0]

    def predict_many(
        self, sources: Iterable[Source], batch_size: int = 16
    ) -> Iterator[Prediction | Failure]:
        """Yield what the student says of each source, in their order.

        A source that cannot be read gives a ``Failure``, and the rest is done.

        Args:
            sources: what ``predict`` takes; they are read as they are needed.
            batch_size: windows that the network sees at once.

        Raises:
            ValueError: when batch_size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: must be at least 1, got {batch_size}")
        return self._predict_many(sources, batch_size)

    def _predict_many(
        self, sources: Iterable[Source], batch_size: int
    ) -> Iterator[Prediction | Failure]:
        read: list[tuple[str, Windows] | Failure] = []
        held = 0
        for source in sources:
            name = name_of(source)
            try:
                windows = self.preprocess(source)
            except (ValueError, OSError) as error:
                read.append(Failure(name, str(error)))
                continue
            read.append((name, windows))
            held += len(next(iter(windows.values())))
            if held >= batch_size:
                yield from self._in_order(read, batch_size)
                read, held = [], 0
        yield from self._in_order(read, batch_size)

    def _in_order(
        self, read: Sequence[tuple[str, Windows] | Failure], batch_size: int
    ) -> Iterator[Prediction | Failure]:
        good = [one for one in read if not isinstance(one, Failure)]
        predictions = iter(self._predict(good, batch_size))
        for one in read:
            yield one if isinstance(one, Failure) else next(predictions)

    @torch.inference_mode()
    def _predict(self, sources: Sequence[tuple[str, Windows]], batch_size: int) -> list[Prediction]:
        if not sources:
            return []
        batch = assemble([windows for _, windows in sources], self.preprocessing.shapes)
        parts = [self.outputs(rows) for rows in split(batch, batch_size)]
        outputs, embeddings = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        counts = [len(next(iter(windows.values()))) for _, windows in sources]
        return [
            self._prediction(name, output.mean(0), embedding.mean(0))
            for (name, _), output, embedding in zip(
                sources, torch.split(outputs, counts), torch.split(embeddings, counts), strict=True
            )
        ]

    @torch.inference_mode()
    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the (B, C) probabilities, or values (B, 1), and the embeddings (B, D) of windows.

        Args:
            batch: the student's modalities, as ``cmkd.batch`` describes them.
        """
        seen = self.network(to_device(batch, self.device))
        logits = seen.logits.float()
        outputs = logits if self.task == "regression" else logits.softmax(dim=1)
        return outputs, seen.embedding.float()

    def _prediction(self, source: str, output: Tensor, embedding: Tensor) -> Prediction:
        if self.task == "regression":
            return Prediction(source, output[:0], embedding, None, value=float(output[0]))
        return Prediction(source, output, embedding, self.class_names)

    def _values(self, source: Source) -> dict[str, Value]:
        if isinstance(source, Mapping):
            if unknown := sorted(set(source) - set(self.modalities)):
                raise ValueError(
                    f"the student sees {', '.join(self.modalities)}, not {', '.join(unknown)}"
                )
            if not source:
                raise ValueError(f"name at least one of {', '.join(self.modalities)}")
            return dict(source)
        elsewhere = set(self.modalities) - set(self.preprocessing.in_one_file)
        if len(self.modalities) > 1 and elsewhere:
            raise ValueError(
                f"{source}: one file does not hold {', '.join(sorted(elsewhere))}; give a mapping "
                f"with a path or tensor for each of {', '.join(self.modalities)}"
            )
        return dict.fromkeys(self.modalities, Path(source))


def name_of(source: Source) -> str:
    """Return what names a source: its path, or those of its modalities."""
    if not isinstance(source, Mapping):
        return str(source)
    paths = [str(value) for value in source.values() if isinstance(value, str | Path)]
    return ", ".join(dict.fromkeys(paths)) or f"tensors of {', '.join(source)}"


def split(batch: Batch, rows: int) -> Iterator[Batch]:
    """Yield parts of a batch of at most so many rows."""
    count = len(batch["index"])
    for first in range(0, count, rows):
        yield _slice(batch, slice(first, first + rows))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on a device."""
    return {
        key: to_device(value, device) if isinstance(value, dict) else value.to(device)
        for key, value in batch.items()
    }


def _slice(batch: Batch, rows: slice) -> Batch:
    return {
        key: _slice(value, rows) if isinstance(value, dict) else value[rows]
        for key, value in batch.items()
    }
