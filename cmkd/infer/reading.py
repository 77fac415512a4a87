"""Predicting files that threads decode ahead of the network."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from cmkd.preprocessing import ReadyTensors, Source
from cmkd.student import Failure, Prediction, Student
from cmkd.student.student import Windows, name_of

Item = TypeVar("Item")
Result = TypeVar("Result")


def predict_ahead(
    student: Student,
    sources: Iterable[Source | Failure],
    batch_size: int = 16,
    workers: int = 1,
) -> Iterator[Prediction | Failure]:
    """Yield what a student says of each source, in their order; threads read the next ones.

    Decoding holds no lock of Python's, so threads suffice.

    Args:
        student: the student.
        sources: what ``Student.predict`` takes, and those that failed already.
        batch_size: windows that the network sees at once.
        workers: sources read at once.

    Raises:
        ValueError: when batch_size or workers is below 1.
    """
    if workers < 1:
        raise ValueError(f"workers: must be at least 1, got {workers}")
    # The same network without the reading, which has happened when it gets the windows.
    ready = Student(
        student.network,
        ReadyTensors({name: list(shape) for name, shape in student.preprocessing.shapes.items()}),
        student.class_names,
        student.task,
        student.device,
    )
    order: deque[str | Failure] = deque()

    def windows() -> Iterator[Windows]:
        for read in _ahead(lambda source: _read(student, source), sources, workers):
            if isinstance(read, Failure):
                order.append(read)
            else:
                order.append(read[0])
                yield read[1]

    return _named(ready.predict_many(windows(), batch_size), order)


def _named(
    results: Iterator[Prediction | Failure], order: deque[str | Failure]
) -> Iterator[Prediction | Failure]:
    """Give results their sources' names back, and put failures where they were in the order."""
    for result in results:
        while isinstance(first := order.popleft(), Failure):
            yield first
        yield _finite(replace(result, source=first))
    # Behind the last result there is no source that was read.
    yield from (one for one in order if isinstance(one, Failure))


def _read(student: Student, source: Source | Failure) -> tuple[str, Windows] | Failure:
    if isinstance(source, Failure):
        return source
    try:
        return name_of(source), student.preprocess(source)
    except (ValueError, OSError) as error:
        return Failure(name_of(source), str(error))


def _finite(result: Prediction | Failure) -> Prediction | Failure:
    if isinstance(result, Failure):
        return result
    numbers = [
        result.embedding,
        result.probabilities,
        result.embedding.new_tensor(result.value or 0),
    ]
    if all(bool(tensor.isfinite().all()) for tensor in numbers):
        return result
    return Failure(result.source, "the student's outputs of it are NaN or infinite")


def _ahead(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Apply a function in threads, a few items ahead, and yield the results in order."""
    pool = ThreadPoolExecutor(workers)
    running: deque[Future[Result]] = deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            # Those in work and as many that wait to be taken: windows of clips are large.
            if len(running) > 2 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        # What was asked for is printed before a long file that is just being read is through.
        pool.shutdown(wait=False, cancel_futures=True)
