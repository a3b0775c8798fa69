"""The checker of annotations: beartype, for which an int is a float too, as PEP 484 says."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
