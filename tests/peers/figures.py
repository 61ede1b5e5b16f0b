"""What benches measure with, and how they say it."""
import pathlib
import statistics


def processor_s(processes):
    """Processor time so far, to the nanosecond."""
    return sum(int(task.joinpath("schedstat").read_text().split()[0])
               for one in processes for task in pathlib.Path(f"/proc/{one.pid}/task").iterdir()) / 1e9


def spread(values):
    return f"median {statistics.median(values):.1f}, worst {max(values):.1f}, of {len(values)}"
