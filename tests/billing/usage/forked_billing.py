"""Forks billing processes and kills them, one after the other.

`python -m tests.billing.usage.forked_billing KILLS SEED [naive]`.

One process loads Django and forks each of them: to start Python 200 times would take minutes. Writes how
many were killed. Naive ones acknowledge before they charge.
"""

import os
import random
import signal
import sys
import time

import django

LIFE = 0.08  # seconds until a kill from outside, at most
STEPS = (
    "charge",
    "recorded",
    "insert",
    "write_pools",
    "write_counters",
    "add_to_sums",
    "acknowledge",
    "half",
)


def main(kills: int, seed: int, order: str = "") -> None:
    chance = random.Random(seed)
    killed = 0
    while killed < kills:
        step = chance.choice((*STEPS, None, None, None))
        pid = os.fork()
        if pid == 0:
            live(step, chance.randint(1, 3), is_naive=order == "naive")
        killed += wait_or_kill(pid, chance.uniform(0, LIFE) if step is None else 5)
    sys.stdout.write(f"{killed}\n")


def wait_or_kill(pid: int, seconds: float) -> bool:
    """Wait for a process, and kill it after `seconds`. Whether it was killed, also by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (ended := os.waitpid(pid, os.WNOHANG))[0]:
            return os.WIFSIGNALED(ended[1])
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def live(step: str | None, times: int, *, is_naive: bool) -> None:
    """Run a billing process. With a step, it kills itself when it reaches the step for the nth time."""
    from django.conf import settings

    from billing.usage.consumer import BillingHandler
    from config.streams import StopFlag, StreamConsumer
    from config.streams import consumer as loop

    settings.BILLING_BATCH_HOOKS = []
    loop.MAX_DELIVERIES = 10**6  # the kills are deliberate
    consumer = StreamConsumer(BillingHandler())
    consumer.handler.batch_size = 20
    consumer.handler.block_ms = 50
    if is_naive:
        acknowledge_first(consumer)
    if step:
        sabotage(consumer, step, times)
    try:
        consumer.run(StopFlag(), drain=True)
    finally:
        os._exit(0)


def acknowledge_first(consumer) -> None:
    handle = consumer.handler.handle
    consumer.handler.handle = lambda batch: (consumer.acknowledge(batch.entries), handle(batch))[1]


def sabotage(consumer, step: str, times: int) -> None:
    from billing.usage import charging, ledger

    left = [times]

    def kill_here(*args: object) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: object, name: str) -> None:
        original = getattr(owner, name)
        setattr(owner, name, lambda *args, **how: (kill_here(), original(*args, **how))[1])

    if step == "half":  # some are acknowledged, the others are not
        acknowledge = consumer.acknowledge

        def acknowledge_half(entries):
            acknowledge(entries[: len(entries) // 2])
            kill_here()
            acknowledge(entries)

        consumer.acknowledge = acknowledge_half
    elif step == "acknowledge":
        before(consumer, step)
    elif step == "charge":
        before(charging.Books, step)
    else:
        before(ledger, step)


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
