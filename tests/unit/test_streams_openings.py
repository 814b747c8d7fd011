"""Where a source is read on from: a table."""

import pytest
from aiokafka.structs import OffsetAndMetadata

from monitor.contracts.control import Rewind
from streams.control import AskedRewind
from streams.openings import NEVER_REWOUND, Resume, commit_metadata, place, resume_of


def asked(control_offset: int, offset: int) -> AskedRewind:
    return AskedRewind(control_offset, Rewind(source="withdrawals/0", offset=offset, asked_by="t", asked_at_ms=0, reason=""))


CASES = """
committed  obeyed  asked at  asked to  log start  log end   position  why      obeyed then
none       -1      -         -         0          0         0         first    -1
none       -1      -         -         7          9         7         first    -1
none       -1      4         2         0          9         0         first    4
5          -1      -         -         0          9         5         resumed  -1
9          -1      -         -         0          9         9         resumed  -1
5          -1      -         -         7          9         7         resumed  -1
50         -1      -         -         0          9         9         resumed  -1
5          -1      4         2         0          9         2         rewound  4
5          4       4         2         0          9         5         resumed  4
5          4       6         2         0          9         2         rewound  6
5          -1      4         2         3          9         3         rewound  4
5          -1      4         8         0          9         5         resumed  4
5          -1      4         5         0          9         5         resumed  4
"""


@pytest.mark.parametrize("case", CASES.strip().splitlines()[1:])
def test_place(case: str) -> None:
    committed, obeyed, asked_at, asked_to, log_start, log_end, position, why, obeyed_then = case.split()
    resume = Resume(None if committed == "none" else int(committed), int(obeyed))
    opening = place(resume, None if asked_at == "-" else asked(int(asked_at), int(asked_to)), int(log_start), int(log_end))
    assert (opening.position, opening.why, opening.rewound) == (int(position), why, int(obeyed_then))
    assert (opening.log_start, opening.log_end) == (int(log_start), int(log_end))


@pytest.mark.parametrize("rewound", [NEVER_REWOUND, 0, 17])
def test_what_was_obeyed_is_read_back_from_the_commit(rewound: int) -> None:
    assert resume_of(OffsetAndMetadata(5, commit_metadata(rewound))) == Resume(5, rewound)


@pytest.mark.parametrize("metadata", ["", None, "rewound=", "rewound=x", "of somebody else", "rewound=--1"])
def test_other_metadata_says_nothing(metadata: str | None) -> None:
    assert resume_of(OffsetAndMetadata(5, metadata)) == Resume(5, NEVER_REWOUND)


def test_no_commit() -> None:
    assert resume_of(None) == resume_of(OffsetAndMetadata(-1, "")) == Resume(None, NEVER_REWOUND)
