#!/bin/sh
# Packages: jsonschema 4.26.0 and jsonschema-rs 0.61.2 (PyPI), validators of the same standard.
# Expected: {"multipleOf": 0.01} holds for 19.99. The standard says that the division is to give an integer, and means
#   the numbers that stand in the JSON text; jsonschema-rs and fastjsonschema 2.22.3 say valid.
# What happens: jsonschema divides the two floats, gets 1998.9999999999998, and refuses 19.99, 4.35 and 1.1 (of the
#   prices up to 100.00 nearly one in seven). Read with parse_float=decimal.Decimal, the same text is valid.
# A schema for amounts of money passes or refuses by the luck of the number, and by which validator is asked.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  jsonschema==4.26.0 jsonschema-rs==0.61.2 fastjsonschema==2.22.3
"$work/venv/bin/python" - <<'PYTHON'
import decimal
import json

import fastjsonschema
import jsonschema
import jsonschema_rs

schema = json.loads('{"multipleOf": 0.01}')
python, rust = jsonschema.Draft202012Validator(schema), jsonschema_rs.Draft202012Validator(schema)
generated = fastjsonschema.compile(schema)


def generated_accepts(price: float) -> bool:
    try:
        generated(price)
    except fastjsonschema.JsonSchemaException:
        return False
    return True


prices = [cents / 100 for cents in range(1, 10001)]
refused = {
    "jsonschema": [price for price in prices if not python.is_valid(price)],
    "jsonschema-rs": [price for price in prices if not rust.is_valid(price)],
    "fastjsonschema": [price for price in prices if not generated_accepts(price)],
}
for name, amounts in refused.items():
    print(f"{name}: {len(amounts)} of {len(prices)} refused,", *amounts[:4], "...", 19.99 in amounts)
exact = jsonschema.Draft202012Validator(json.loads('{"multipleOf": 0.01}', parse_float=decimal.Decimal))
print("19.99 and 0.01 as decimals:", exact.is_valid(decimal.Decimal("19.99")))
as_described = 19.99 in refused["jsonschema"] and not refused["jsonschema-rs"]
raise SystemExit(not as_described)
PYTHON
