"""Reads back what an offline W&B run wrote."""

import json
import struct
import time


def wandb_records(path):
    """Yield the records of an offline run's file, which is laid out like a LevelDB log.

    Behind a header of 7 bytes come blocks of 32 KiB. A record's pieces each have a checksum (4
    bytes), a length (2) and a type (1): whole, first, middle, last.
    """
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def read_records(path):
    """Return the records of an offline run that has been finished.

    ``wandb.finish`` returns before W&B's own process has written everything: its last record, the
    run's exit, is waited for.
    """
    from wandb.proto import wandb_internal_pb2

    deadline = time.monotonic() + 300
    while True:
        records = []
        for data in wandb_records(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            records.append(record)
        if records and records[-1].WhichOneof("record_type") in ("exit", "final", "footer"):
            return records
        assert time.monotonic() < deadline, f"{path} has no end"
        time.sleep(0.1)


def name_of(item):
    return item.key or "/".join(item.nested_key)


def read_wandb(folder):
    """Return config and history rows of the offline run below folder."""
    config, rows = {}, []
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    for record in read_records(path):
        for update in (*record.run.config.update, *record.config.update):
            config[name_of(update)] = json.loads(update.value_json)
        if record.WhichOneof("record_type") == "history":
            rows.append({name_of(item): item.value_json for item in record.history.item})
    return config, rows
