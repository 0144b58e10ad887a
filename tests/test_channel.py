"""Channels: bounds, order, ends, stops."""

from __future__ import annotations

import threading

import pytest

from livematte.channel import Channel, ChannelStopped


def counts(item: int) -> bool:
    return item >= 0


def test_items_come_out_in_order_until_the_end() -> None:
    channel: Channel[int] = Channel(10, counts)
    for item in (1, -1, 2):
        channel.put(item)
    channel.finish()
    assert list(channel) == [1, -1, 2]


def test_items_that_do_not_count_do_not_take_a_frames_place() -> None:
    channel: Channel[int] = Channel(1, counts, drop_oldest=True)
    for item in (1, -1, -2, 2, -3, 3):
        channel.put(item)
    channel.finish()
    assert list(channel) == [-1, -2, -3, 3]
    assert channel.dropped == 2


def test_a_full_channel_makes_the_writer_wait_and_a_stop_frees_it() -> None:
    channel: Channel[int] = Channel(2, counts)
    outcome: list[str] = []

    def write() -> None:
        try:
            for item in range(3):
                channel.put(item)
                outcome.append(f"put {item}")
        except ChannelStopped:
            outcome.append("stopped")

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    assert outcome == ["put 0", "put 1"]
    channel.stop()
    writer.join(60)
    assert outcome[-1] == "stopped"
    with pytest.raises(ChannelStopped):
        next(iter(channel))
