r"""Units: SI and common ones, English and Chinese, in one spelling.

A unit is a factor and powers of base units, so that "m/s^2", "m s^{-2}" and "metres per second
squared" are one, and 1 h is 60 min. Currencies, temperatures and what is counted ("apples") are
base units of their own: nothing converts them. Factors: The International System of Units, 9th
edition (BIPM, 2019), tables 5 to 8; inch, foot, mile, pound: exact since 1959.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True)
class Unit:
    """A factor and powers of base units; no powers at all is a bare count ("units", 个)."""

    factor: Fraction
    powers: Mapping[str, int] = field(default_factory=dict)

    def same_kind(self, other: Unit) -> bool:
        """Whether one is a multiple of the other: centimetres and metres."""
        return self.powers == other.powers


_PREFIXES = {
    "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "d": -1, "c": -2, "m": -3, "μ": -6, "u": -6, "n": -9,
    "p": -12,
}  # fmt: skip
_SPELLED_PREFIXES = {
    "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2, "deci": -1, "centi": -2, "milli": -3,
    "micro": -6, "nano": -9, "pico": -12,
}  # fmt: skip

# Names, factor, powers of base units. Those of the first table take prefixes.
_PREFIXED = """
    m meter metre: 1 m | g gram gramme: 1/1000 kg | s second: 1 s | A ampere amp: 1 A |
    K kelvin: 1 K | mol mole: 1 mol | N newton: 1 kg m s-2 | J joule: 1 kg m2 s-2 |
    W watt: 1 kg m2 s-3 | Pa pascal: 1 kg m-1 s-2 | V volt: 1 kg m2 s-3 A-1 |
    Ω ohm: 1 kg m2 s-3 A-2 | C coulomb: 1 A s | F farad: 1 kg-1 m-2 s4 A2 |
    T tesla: 1 kg s-2 A-1 | H henry: 1 kg m2 s-2 A-2 | Wb weber: 1 kg m2 s-2 A-1 |
    Hz hertz: 1 s-1 | L liter litre: 1/1000 m3 | l: 1/1000 m3 | eV electronvolt: 1 eV |
    Wh: 3600 kg m2 s-2 | bar: 100000 kg m-1 s-2 | cal calorie: 1 cal | B byte: 1 byte |
    bit: 1 bit | lm lumen: 1 lm | lx lux: 1 lx | cd candela: 1 cd |
"""
_PLAIN = """
    min minute: 60 s | h hr hour: 3600 s | sec: 1 s | d day: 86400 s | week wk: 604800 s |
    month: 1 month | year yr: 12 month | decade: 120 month | century centuries: 1200 month |
    in inch inches: 127/5000 m | ft foot feet: 381/1250 m | yd yard: 1143/1250 m |
    mi mile: 201168/125 m | Å angstrom: 1/10000000000 m | lb lbs pound: 45359237/100000000 kg |
    oz ounce: 45359237/1600000000 kg | t ton tonne: 1000 kg | ha hectare: 10000 m2 |
    acre: 1 acre | cc: 1/1000000 m3 | gal gallon: 1 gal | cup: 1 cup | mph: 201168/450000 m s-1 |
    kph kmh kmph: 5/18 m s-1 | knot kn: 463/900 m s-1 | atm atmosphere: 101325 kg m-1 s-2 |
    mmHg: 1 mmHg | psi: 1 psi | M molar: 1000 mol m-3 | mM: 1 mol m-3 | dB decibel: 1 dB |
    amu u Da: 1 amu | rpm: 1 rpm | bpm: 1 bpm | hp horsepower: 1 hp | mAh: 18/5 A s |
    Ah: 3600 A s | Nm: 1 kg m2 s-2 | ° deg degree: 1 ° | rad radian: 1 rad | sr steradian: 1 sr |
    kb: 1000 byte | mb: 1000000 byte | gb: 1000000000 byte | tb: 1000000000000 byte |
    Mb: 1000000 bit | Gb: 1000000000 bit | Tb: 1000000000000 bit |
    °C Celsius: 1 °C | °F Fahrenheit: 1 °F | ℉: 1 °F | ＄ dollar buck USD US＄ usd: 1 $ |
    ¢ cent: 1/100 $ | € euro EUR eur: 1 € | £ GBP gbp: 1 £ | ¥ yuan RMB CNY rmb: 1 ¥ |
    yen JPY: 1 yen | ₹ rupee INR Rs: 1 ₹ | ₩ won KRW: 1 ₩ | unit: 1 unit | dpi: 1 dpi |
    px pixel: 1 px | pt: 1 pt | people person: 1 person | ': 381/1250 m | ": 127/5000 m |
"""
_CHINESE = """
    毫米: 1/1000 m | 厘米: 1/100 m | 分米: 1/10 m | 米: 1 m | 千米 公里: 1000 m |
    微米: 1/1000000 m | 纳米: 1/1000000000 m | 毫克: 1/1000000 kg | 克: 1/1000 kg |
    千克 公斤: 1 kg | 斤: 1/2 kg | 吨: 1000 kg | 毫升: 1/1000000 m3 | 升: 1/1000 m3 |
    公顷: 10000 m2 | 毫秒: 1/1000 s | 秒 秒钟: 1 s | 分 分钟: 60 s | 小时 时 个小时: 3600 s |
    天 日: 86400 s | 周 星期: 604800 s | 月 个月: 1 month | 年 岁: 12 month | 度: 1 ° |
    摄氏度: 1 °C | 华氏度: 1 °F | 弧度: 1 rad | 元 块 块钱 人民币: 1 ¥ | 角: 1/10 ¥ | 美元: 1 $ |
    欧元: 1 € | 英镑: 1 £ | 日元: 1 yen | 牛 牛顿: 1 kg m s-2 | 焦 焦耳: 1 kg m2 s-2 |
    瓦 瓦特: 1 kg m2 s-3 | 千瓦: 1000 kg m2 s-3 | 伏 伏特: 1 kg m2 s-3 A-1 | 安 安培: 1 A |
    欧 欧姆: 1 kg m2 s-3 A-2 | 帕 帕斯卡: 1 kg m-1 s-2 | 千帕: 1000 kg m-1 s-2 | 赫兹: 1 s-1 |
    摩尔: 1 mol | 单位: 1 unit |
"""
_COUNTERS = "个只条张本名件次倍种支枚颗根头匹辆座台把位口人朵棵双对组步页题道架艘盒瓶杯"
_SQUARED = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "平方": 2, "立方": 3}
_SQUARED_AFTER = {"squared": 2, "cubed": 3}
# After a number these are part of its value, of a formula, or of a sentence.
_NOT_UNITS = frozenset(
    "hundred thousand million billion trillion dozen half quarter third k bn and or to over of by "
    "plus minus times sin cos tan cot sec csc log ln exp sqrt pi inf infinity mod am pm not "
    "is are x y z st nd rd th vs january february march april may june july august september "
    "october november december jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
_DEGREES = re.compile(r"(?:°|degrees?)\s?([CF])(?:elsius|ahrenheit)?\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"\s*(?:(?P<name>°\s?[CF](?![A-Za-z])|US＄|[A-Za-zμΩÅ]+|[°＄€£¥₹₩¢'\"]|[\u4e00-\u9fff]+)"
    r"|(?P<power>\^\s?\{?\s?(-?\d)\s?\}?)|(?P<digit>(?<=\S)[23](?!\d))|(?P<sign>[/·*.()\-×]))"
)


@lru_cache(maxsize=4_096)
def read_unit(text: str) -> Unit | None:
    """The unit that a tidied text is, or None. Any words that count something are one too."""
    text = _DEGREES.sub(lambda m: "°" + m[1].upper(), text.strip())
    if not text or len(text) > 60:
        return None
    return known_unit(text) or _counted(text)


@lru_cache(maxsize=1)
def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}

    def add(name: str, factor: Fraction, powers: dict[str, int]) -> None:
        table.setdefault(name, Unit(factor, powers))
        if len(name) > 2 and name.isascii() and not name.endswith("s"):
            table.setdefault(name + "s", Unit(factor, powers))

    # What is plain wins over a prefix: "min" is no milli-inch, "ft" no femtotonne.
    for names, factor, powers in (*_rows(_PLAIN), *_rows(_CHINESE), *_rows(_PREFIXED)):
        for name in names:
            add(name, factor, powers)
    for (symbol, *names), factor, powers in _rows(_PREFIXED):
        for prefix, exponent in _PREFIXES.items():
            add(prefix + symbol, factor * Fraction(10) ** exponent, powers)
        for prefix, exponent in _SPELLED_PREFIXES.items():
            for name in names:
                add(prefix + name, factor * Fraction(10) ** exponent, powers)
    add("kilohm", Fraction(1000), _powers(["kg", "m2", "s-3", "A-2"]))
    return table


@lru_cache(maxsize=1)
def _folded() -> dict[str, Unit | None]:
    """The units by casefolded spelling; None where two differ in letter case alone (mW, MW)."""
    folded: dict[str, Unit | None] = {}
    for name, unit in _table().items():
        key = name.casefold()
        folded[key] = unit if folded.get(key, unit) == unit else None
    return folded


def _rows(table: str) -> list[tuple[list[str], Fraction, dict[str, int]]]:
    rows = []
    for item in filter(str.strip, table.split("|")):
        names, _, worth = item.partition(": ")
        factor, *base = worth.split()
        rows.append((names.split(), Fraction(factor), _powers(base)))
    return rows


def _powers(base: list[str]) -> dict[str, int]:
    powers: dict[str, int] = {}
    for part in base:
        found = re.fullmatch(r"([^\d-]+)(-?\d+)?", part)
        assert found is not None
        powers[found[1]] = int(found[2] or 1)
    return powers


def _looked_up(name: str) -> Unit | None:
    name = name.replace("° ", "°")
    unit = _table().get(name)
    return unit if unit is not None or len(name) < 2 else _folded().get(name.casefold())


def known_unit(text: str) -> Unit | None:
    """The product of known units with powers that a text is, or None."""
    # From left to right. A unit waits in `pending` until the next one, since a power may follow it
    # ("m^2", "metres squared"). A slash turns the sign of the one unit behind it, or of all in the
    # bracket behind it: m/s kg is m s^-1 kg, and m/(s kg) is m s^-1 kg^-1.
    factor, powers = Fraction(1), dict[str, int]()
    place, sign, before, last = 0, 1, 1, ""
    open_brackets = 0

    def multiply(unit: Unit, power: int) -> None:
        nonlocal factor
        factor *= unit.factor**power
        for base, exponent in unit.powers.items():
            powers[base] = powers.get(base, 0) + exponent * power

    pending: tuple[Unit, int] | None = None  # a power may still follow it
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            return None
        place = found.end()
        if found["name"] is not None:
            name = found["name"]
            if name in _SQUARED_AFTER and pending is not None:
                pending = (pending[0], pending[1] * _SQUARED_AFTER[name])
                continue
            if pending is not None:
                multiply(*pending)
                pending = None
            if name.lower() == "per" or name in ("每",):
                sign, last = -1, "/"
                continue
            if name.lower() in _SQUARED:
                before = _SQUARED[name.lower()]
                continue
            if name[:2] in _SQUARED:  # 平方厘米
                before, name = _SQUARED[name[:2]], name[2:]
            unit = _looked_up(name)
            if unit is None or (name.lower() in _NOT_UNITS and len(name) > 1):
                return None
            pending = (unit, sign * before)
            sign, before, last = (sign if open_brackets else 1), 1, "name"
        elif found["power"] is not None or found["digit"] is not None:
            if pending is None:
                return None
            power = int(found[3] if found["power"] is not None else found["digit"])
            pending = (pending[0], pending[1] * power)
        else:
            mark = found["sign"]
            if last != "name" and mark != "(":
                return None
            if mark == "/":
                sign = -1
            elif mark == "(":
                open_brackets += 1
            elif mark == ")":
                open_brackets -= 1
                if open_brackets < 0:
                    return None
                sign = 1
                continue
            last = mark
    if pending is None or last != "name" and last != ")":
        return None
    multiply(*pending)
    return Unit(factor, {base: power for base, power in powers.items() if power})


def is_counter(character: str) -> bool:
    """Whether a Chinese character stands between a number and what is counted."""
    return character in _COUNTERS


def _counted(text: str) -> Unit | None:
    """Words that say what is counted: "apples", 个苹果."""
    if text[0] in _COUNTERS:
        text = text[1:].strip()
        if not text:
            return Unit(Fraction(1))
    words = text.casefold().split()
    if not all(re.fullmatch(r"[^\W\d_]+(?:['-][^\W\d_]+)*", word) for word in words):
        return None
    chinese = text[0] >= "\u4e00"
    if any(word in _NOT_UNITS for word in words) or (len(words[0]) < 2 and not chinese):
        return None
    if len(words) > 1 and words[-1] == "old":
        return known_unit(" ".join(words[:-1]))
    if len(words) > 4:
        return None
    name = " ".join([*words[:-1], words[-1].removesuffix("s")])
    return Unit(Fraction(1), {name: 1})


RADIANS = math.pi / 180  # of a degree
