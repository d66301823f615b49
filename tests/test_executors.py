from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from autokd.executors import InlineExecutor, ProcessExecutor, one_thread, serve_forks

LONG = 600.0


@pytest.fixture(scope="module", params=["spawned", "forked"])
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessExecutor]:
    """Two workers, started once; each test leaves both free."""
    with executor_of(2, request.param) as executor:
        yield executor


def executor_of(workers: int, how: str) -> ProcessExecutor:
    """An executor whose workers are spawned or forked; what this process has chosen stays as it is."""
    if how == "forked":
        serve_forks()
    try:
        return ProcessExecutor(workers)
    finally:
        multiprocessing.set_start_method(None, force=True)


def eventually(claim: Callable[[], bool], *, seconds: float = 30.0) -> bool:
    """Whether a claim comes true in time, asked again and again."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def state(pid: int) -> str:
    """What `ps` says of a process: `Z` where it ended and was not waited for, "" where there is none."""
    answer = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()[:1]


def ended(*pids: int) -> bool:
    return all(state(pid) in ("", "Z") for pid in pids)


def pid_of(executor: ProcessExecutor) -> int:
    return executor.submit(os.getpid).result()


def test_both_are_executors() -> None:
    assert issubclass(InlineExecutor, Executor)
    assert issubclass(ProcessExecutor, Executor)


def test_inline_runs_at_once_in_this_process() -> None:
    future = InlineExecutor().submit(os.getpid)
    assert future.done()
    assert future.result() == os.getpid()


def test_inline_keeps_an_exception_in_the_future() -> None:
    with pytest.raises(ZeroDivisionError):
        InlineExecutor().submit(divmod, 1, 0).result()


def test_inline_lets_an_interrupt_through() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InlineExecutor().submit(interrupted)


def test_inline_runs_on_one_thread_and_puts_the_callers_number_back() -> None:
    torch.set_num_threads(2)
    assert InlineExecutor().submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == 2
    InlineExecutor().submit(divmod, 1, 0)
    assert torch.get_num_threads() == 2


def test_one_thread_puts_the_callers_number_back_after_an_error() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError), one_thread():
        divmod(1, 0)
    assert torch.get_num_threads() == 2


def test_workers_are_other_processes_of_one_thread_and_are_used_again(pool: ProcessExecutor) -> None:
    first = [pool.submit(os.getpid) for _ in range(2)]
    pids = {future.result() for future in first}
    again = [pool.submit(os.getpid) for _ in range(2)]
    assert {future.result() for future in again} <= pids  # one may do both, where it was done in time
    assert len(pids | {os.getpid()}) == 3
    assert pool.submit(torch.get_num_threads).result() == 1


@pytest.mark.parametrize("how", ["spawned", "forked"])
def test_workers_can_start_before_there_is_a_call(how: str) -> None:
    before = set(multiprocessing.active_children())
    with executor_of(2, how) as executor:
        executor.start()
        executor.wait_until_ready()
        workers = {worker.pid for worker in set(multiprocessing.active_children()) - before}
        assert len(workers) == 2
        executor.wait_until_ready()
        assert {executor.submit(os.getpid).result() for _ in range(2)} <= workers


def test_no_worker_is_waited_for_that_was_not_told_to_start() -> None:
    before = set(multiprocessing.active_children())
    with ProcessExecutor(2) as executor:
        executor.wait_until_ready()
        assert set(multiprocessing.active_children()) == before


def test_a_worker_has_imported_what_it_trains_with_when_it_is_ready(pool: ProcessExecutor) -> None:
    assert "'autokd.trial.training'" in pool.submit(eval, "str([*__import__('sys').modules])").result()


def test_forked_workers_are_of_one_server_that_sees_no_ctrl_c() -> None:
    with executor_of(2, "forked") as executor:
        parents = {future.result() for future in [executor.submit(os.getppid) for _ in range(2)]}
        assert len(parents - {os.getpid()}) == 1
        os.kill(*parents, signal.SIGINT)
        assert executor.submit(os.getppid).result() in parents
        executor.stop(executor.submit(time.sleep, LONG))
        assert executor.submit(os.getppid).result() in parents  # another worker, in no time


def test_a_call_that_raises_keeps_its_worker(pool: ProcessExecutor) -> None:
    pid = pid_of(pool)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()
    assert pid_of(pool) == pid


def test_more_calls_than_workers_are_refused(pool: ProcessExecutor) -> None:
    calls = [pool.submit(time.sleep, LONG) for _ in range(2)]
    with pytest.raises(RuntimeError, match="all 2 workers are busy"):
        pool.submit(os.getpid)
    for call in calls:
        pool.stop(call)
    wait(calls)


def test_a_hung_call_can_be_stopped_and_costs_no_other(pool: ProcessExecutor) -> None:
    hung, other = pool.submit(time.sleep, LONG), pool.submit(os.getpid)
    pool.stop(hung)
    with pytest.raises(BrokenProcessPool):
        hung.result()
    assert other.result() != os.getpid()
    assert pid_of(pool) != os.getpid()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV], ids=str)
def test_a_worker_that_dies_costs_only_its_own_call(pool: ProcessExecutor, how: signal.Signals) -> None:
    dying, other = pool.submit(signal.raise_signal, how), pool.submit(divmod, 7, 2)
    with pytest.raises(BrokenProcessPool):
        dying.result()
    assert other.result() == (3, 1)
    assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_a_worker_that_exits_costs_only_its_own_call(pool: ProcessExecutor) -> None:
    with pytest.raises(BrokenProcessPool):
        pool.submit(os._exit, 0).result()
    assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_a_worker_that_died_idle_costs_no_call() -> None:
    with ProcessExecutor(1) as executor:
        pid = pid_of(executor)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: state(pid) == "")
        assert pid_of(executor) != pid


def test_stopping_a_call_that_has_ended_does_nothing(pool: ProcessExecutor) -> None:
    future = pool.submit(os.getpid)
    pid = future.result()
    assert pid_of(pool) == pid
    pool.stop(future)
    assert pid_of(pool) == pid


def test_workers_ignore_ctrl_c(pool: ProcessExecutor) -> None:
    pid = pid_of(pool)
    pool.submit(signal.raise_signal, signal.SIGINT).result()
    assert pid_of(pool) == pid


def test_shutting_down_ends_workers_that_hang() -> None:
    executor = ProcessExecutor(1)
    pid = pid_of(executor)
    executor.submit(time.sleep, LONG)
    executor.shutdown()
    assert eventually(lambda: ended(pid), seconds=5)


@pytest.mark.parametrize("how", ["spawned", "forked"])
def test_orphaned_workers_end_by_themselves(tmp_path: Path, how: str) -> None:
    script = write_script(
        tmp_path,
        """
        import os, sys, time
        from autokd.executors import ProcessExecutor, serve_forks

        if sys.argv[1] == "forked":
            serve_forks()
        executor = ProcessExecutor(2)
        found = [future.result() for future in [executor.submit(each) for each in (os.getpid, os.getpid)]]
        pids = [*found, *({executor.submit(os.getppid).result()} - {os.getpid()})]
        calls = [executor.submit(time.sleep, 600) for _ in range(2)]
        print(*pids, flush=True)
        time.sleep(600)
        """,
    )
    with subprocess.Popen([sys.executable, script, how], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 + (how == "forked")  # with the server
        assert not any(ended(pid) for pid in pids)
        parent.kill()
        parent.wait()
        assert eventually(lambda: ended(*pids), seconds=30)


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        """
        import os
        from autokd.executors import ProcessExecutor

        print("once")
        executor = ProcessExecutor(1)
        assert executor.submit(os.getpid).result() != os.getpid()
        executor.shutdown()
        print(__file__, __spec__)
        """,
    )
    answer = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n") == ["once", f"{script} None", ""]


def write_script(folder: Path, text: str) -> Path:
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text))
    return script
