"""Rows with their labels as other trainers read them: a file a form, and a line here."""

from durian.exporters.base import Form
from durian.exporters.dpo import DPO
from durian.exporters.easyr1 import EASYR1
from durian.exporters.jsonl import JSONL
from durian.exporters.parquet import PARQUET
from durian.exporters.sft import SFT
from durian.exporters.slime import SLIME
from durian.exporters.swift import SWIFT
from durian.exporters.trl import TRL
from durian.exporters.verl import VERL

FORMS: dict[str, Form] = {
    "verl": VERL,
    "easyr1": EASYR1,
    "swift": SWIFT,
    "slime": SLIME,
    "trl": TRL,
    "sft": SFT,
    "dpo": DPO,
    "parquet": PARQUET,
    "jsonl": JSONL,
}
