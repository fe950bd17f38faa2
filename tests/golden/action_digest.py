"""Makes action-digest.json, independently of Callgate's own code.

Run it from anywhere: python3 tests/golden/action_digest.py
Python 3.8 or later, standard library only. The canonical form is RFC 8785, but a number whose decimal value
differs from that of its double's shortest round-trip form is written as its digits without trailing zeros,
`e`, and its exponent. The digest is SHA-256 over {"arguments":…,"server":…,"tenant":…,"tool":…,"user":…,"v":1}.
"""

import hashlib
import json
import pathlib
from decimal import Decimal

SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def parts(decimal):
    """The digits without zeros at either end, and the exponent."""
    sign, digits, exponent = decimal.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    return sign, stripped, exponent + len(text) - len(stripped)


def number(literal):
    decimal = Decimal(literal)
    if decimal.is_zero():
        return "0"
    sign, digits, exponent = parts(decimal)
    minus = "-" if sign else ""
    assert -(2**31) <= exponent < 2**31
    double = float(literal)
    if double in (0.0, float("inf"), float("-inf")) or Decimal(repr(double)) != decimal:
        return f"{minus}{digits}e{exponent}"
    point, count = exponent + len(digits), len(digits)
    if count <= point <= 21:
        return minus + digits + "0" * (point - count)
    if 0 < point <= 21:
        return minus + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return minus + "0." + "0" * -point + digits
    mantissa = digits if count == 1 else digits[0] + "." + digits[1:]
    return f"{minus}{mantissa}e{point - 1:+d}"


class Number(str):
    """A number's literal."""


def string(text):
    out = ""
    for character in text:
        if character in SHORT_ESCAPES:
            out += SHORT_ESCAPES[character]
        elif character < " ":
            out += f"\\u{ord(character):04x}"
        else:
            out += character
    return f'"{out}"'


def canonical(value):
    if isinstance(value, Number):
        return number(value)
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{string(key)}:{canonical(value[key])}" for key in keys) + "}"
    return {None: "null", True: "true", False: "false"}[value]


def unique(pairs):
    members = dict(pairs)
    assert len(members) == len(pairs), "duplicate key"
    return members


def vector(name, arguments, tenant="acme", user="ada", server="files", tool="write_file"):
    text = arguments if arguments.strip() else "{}"
    value = json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=unique)
    assert isinstance(value, dict)
    action = {"arguments": value, "server": server, "tenant": tenant, "tool": tool, "user": user, "v": Number("1")}
    form = canonical(action)
    return {
        "name": name, "tenant": tenant, "user": user, "server": server, "tool": tool, "arguments": arguments,
        "canonical": form, "digest": hashlib.sha256(form.encode()).hexdigest(),
    }


NUMBERS = """
0 -0 0.0 -0.0 0e5 0E-2147483648 1 -1 1.0 1e0 10e-1 1E+2 100 0.1 0.10 -0.5 1.5e3 123456789.125
0.000001 0.0000001 1.25e-7 -1.25e-7 1e20 100000000000000000000 1e21 1000000000000000000000 -1e21
123456789012345680000 1234567890123456800000 4.35 333333333.33333329 333333333.3333333
9007199254740991 9007199254740992 9007199254740993 9007199254740994 -9007199254740993 9007199254740993.0
9007199254740993e0 90071992547409930e-1 9223372036854775807 9223372036854775808 9223372036854776000
18446744073709551615 18446744073709551616 18446744073709552000 1e22 1e23 99999999999999990000000
1426881665460613.2 1426881665460613.25 1426881665460613.3 1426881665460613.75 1426881665460613.8
5e-324 4e-324 3e-324 2.2250738585072014e-308 2.225073858507201e-308 5.684341886080802e-14
1.7976931348623157e308 1.7976931348623158e308 1.7976931348623159e308 1.8e308 1e308 1e309 1e400 -1e400 1e-400
1e999999999 -12.50e-999999999 1e2147483647 1e-2147483648 10e-2147483648 1e0000000000000000000007
0.1000000000000000055511151231257827021181583404541015625 0.10000000000000001 0.30000000000000004 0.3
3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798
1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890
""".split()

OTHERS = [
    ("absent arguments", ""),
    ("blank arguments", " \t\r\n"),
    ("no members", "{}"),
    ("spaces", ' {\n\t"b" : [ 1 , 2 ] ,\r\n "a" : null } '),
    ("key order", '{"b":1,"a":2,"":3,"aa":4,"B":5,"10":6,"9":7}'),
    ("key order by UTF-16, emoji before U+FB33", '{"\ufb33":1,"\U0001f600":2}'),
    ("key order by UTF-16, escaped", '{"\\ufb33":1,"\\ud83d\\ude00":2,"\\u20ac":3,"\\r":4,"1":5,"\\u0080":6,"\\u00f6":7}'),
    ("key order by UTF-16 around the surrogates", '{"\uffff":1,"\U0010ffff":2,"\U00010000":3,"\ue000":4,"\ud7ff":5}'),
    ("a key that is the beginning of another", '{"ab":1,"a":2,"a\\u0000":3}'),
    ("escapes that need none", '{"a":"\\u0041\\/\\u00e9\\u007f\\u2028\\ud83d\\ude00"}'),
    ("escapes that stay", '{"a":"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\"\\\\"}'),
    ("escapes with capital hex digits", '{"a":"\\u000F\\u00EB"}'),
    ("composed and decomposed are two texts: composed", '{"a":"\u00e9"}'),
    ("composed and decomposed are two texts: decomposed", '{"a":"e\u0301"}'),
    ("U+202E stays as it is", '{"a":"\u202e"}'),
    ("literals", '{"n":null,"t":true,"f":false,"s":"null"}'),
    ("nested", '{"z":{"y":[{"x":[[],{}]},[1.0,"1",null]],"a":{}},"a":[[[[]]]]}'),
    ("numbers in an array", '{"a":[1.0,1e21,9007199254740993,-0,1e-7]}'),
    ("an object that imitates a crate's private form", '{"$serde_json::private::Number":"1e5"}'),
    ("keys of the action itself", '{"v":2,"tenant":"other","arguments":{}}'),
    ("64 levels", '{"a":' + "[" * 63 + "]" * 63 + "}"),
]

NAMES = [
    ("another tenant", {"tenant": "acme2"}),
    ("another user", {"user": "bob"}),
    ("another server", {"server": "shell"}),
    ("another tool", {"tool": "read_file"}),
    ("a tool with a slash", {"tool": "mcp:resources/read"}),
    ("names with quotes and backslashes", {"tenant": 'a"b', "user": "a\\b", "tool": '"},{"'}),
    ("names beyond ASCII", {"tenant": "h\u00e9lo\u00efse", "user": "\u65e5\u672c", "tool": "\U0001f600"}),
]

REFUSED = [
    ("an array", "[]", "not_an_object", ""),
    ("a string", '"{}"', "not_an_object", ""),
    ("null", "null", "not_an_object", ""),
    ("a number", "1", "not_an_object", ""),
    ("no-break space", "\u00a0", "syntax", ""),
    ("a byte order mark", "\ufeff{}", "syntax", ""),
    ("an open object", "{", "syntax", ""),
    ("a comma too many", '{"a":1,}', "syntax", ""),
    ("a comma too many in an array", '{"a":[1,]}', "syntax", "/a/1"),
    ("a comment", '{"a":/**/1}', "syntax", "/a"),
    ("single quotes", "{'a':1}", "syntax", ""),
    ("NaN", '{"a":NaN}', "syntax", "/a"),
    ("a leading plus", '{"a":+1}', "syntax", "/a"),
    ("no digit before the point", '{"a":{"b":.5}}', "syntax", "/a/b"),
    ("no digit after the point", '{"a":[0,1.]}', "syntax", "/a/1"),
    ("a raw new line in a string", '{"a":"\n"}', "syntax", "/a"),
    ("an unknown escape", '{"a":"\\x41"}', "syntax", "/a"),
    ("text after the object", "{} {}", "trailing", ""),
    ("equal keys", '{"a":1,"a":1}', "duplicate_key", "/a"),
    ("equal keys, one escaped", '{"x":[{"a/b":1,"c":2,"a\\/b":3}]}', "duplicate_key", "/x/0/a~1b"),
    ("equal keys, empty", '{"":1,"":2}', "duplicate_key", "/"),
    ("a high surrogate alone", '{"a~":"\\ud83d"}', "lone_surrogate", "/a~0"),
    ("a low surrogate alone", '{"a":["","\\ude00"]}', "lone_surrogate", "/a/1"),
    ("surrogates in the wrong order", '{"a":"\\ude00\\ud83d"}', "lone_surrogate", "/a"),
    ("a lone surrogate in a key", '{"a":{"\\ud83d":1}}', "lone_surrogate", "/a"),
    ("65 levels", '{"a":' + "[" * 64 + "]" * 64 + "}", "too_deep", "/a" + "/0" * 63),
    ("an exponent over 32 bits", '{"a":1e2147483648}', "exponent", "/a"),
    ("an exponent under 32 bits", '{"a":1e-2147483649}', "exponent", "/a"),
    ("an exponent over 32 bits once normalised", '{"a":10e2147483647}', "exponent", "/a"),
    ("an exponent under 32 bits once normalised", '{"a":0.1e-2147483648}', "exponent", "/a"),
    ("zero with an exponent over 32 bits", '{"a":0e99999999999}', "exponent", "/a"),
]


def main():
    vectors = [vector(name, arguments) for name, arguments in OTHERS]
    vectors += [vector(f"number {literal}", f'{{"a":{literal}}}') for literal in NUMBERS]
    vectors += [vector(name, '{"path":"/tmp/x"}', **names) for name, names in NAMES]
    refused = [
        {"name": name, "arguments": arguments, "fault": fault, "path": path}
        for name, arguments, fault, path in REFUSED
    ]
    about = "Made by action_digest.py. `arguments` is the raw text; limits are 262144 bytes and 64 levels."
    golden = {"about": about, "vectors": vectors, "refused": refused}
    target = pathlib.Path(__file__).with_name("action-digest.json")
    target.write_text(json.dumps(golden, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
