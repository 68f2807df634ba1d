#!/usr/bin/env python3
"""Verifies an export of AgentAPI's audit log, with the standard library only.

    verify.py EXPORT [CHECKPOINTS KEY | --own]     --own: of one organisation alone

It shares no code with the server: it is written after domain/audit/README.md
alone, and shows that the format is documented. Ends with 0, or with 5 where the
log is not what it was, and says so as JSON.
"""

import base64
import hashlib
import json
import sys

NOTHING = bytes(32)


class Broken(Exception):
    """The log is not what it was."""

    def __init__(self, kind, seq, through, what):
        super().__init__(what)
        self.answer = {"ok": False, "kind": kind, "first": seq, "through": through, "what": what}


# Ed25519 (RFC 8032, section 5.1.7), for which the standard library has nothing.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    """Adds two points in extended coordinates."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return (w * x % P, y * z % P, x * y % P, w * z % P)


def times(n, point):
    """Multiplies a point."""
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = add(out, point)
        point, n = add(point, point), n >> 1
    return out


def point_of(data):
    """Reads a point, or gives None."""
    n = int.from_bytes(data, "little")
    sign, y = n >> 255, n & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(public, message, signature):
    """Tells whether the signature is the key's."""
    a, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(k, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


def checkpoints(text, key):
    """Reads the notes that the key has signed: (size, root) by size."""
    name, number, encoded = key.split("+", 2)
    public = base64.b64decode(encoded)[1:]
    want = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    if want.hex() != number:
        raise SystemExit("the key is no key")
    out = []
    blocks = text.split("\n\n")
    body = blocks[0]
    for block in blocks[1:]:
        line, _, rest = block.partition("\n")
        lines = body.split("\n")
        by, _, signature = line.removeprefix("\u2014 ").rpartition(" ")
        data = base64.b64decode(signature)
        size, root = int(lines[1]), base64.b64decode(lines[2])
        if by == name and data[:4] == want:
            if not signed(public, (body + "\n").encode(), data[4:]):
                raise Broken("forged", max(size, 1), size, "a checkpoint's signature is not of its key")
            out.append((size, root))
        body = rest
    return sorted(out, key=lambda c: c[0])


def canonical(entry):
    """Gives an entry's canonical bytes (RFC 8785, for strings and integers)."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(chain, seq, prev, canon):
    """Gives the hash of an entry."""
    u64 = lambda n: n.to_bytes(8, "big")
    return hashlib.sha256(b"agentapi-audit-v1\0" + u64(chain) + u64(seq) + prev + len(canon).to_bytes(4, "big") + canon).digest()


def retired(lines, key):
    """Gives the hashes of the last entries that were taken from the beginning, by their numbers."""
    out = {}
    for line in lines:
        entry = json.loads(line["canon"])
        if entry["action"] == "audit.retention":
            d = entry["details"]
            text = "\n".join(["agentapi-audit-retention-v1", d["first"], d["last"], d["last_hash"], d["sha256"], ""])
            if not key or signed(base64.b64decode(key.split("+", 2)[2])[1:], text.encode(), bytes.fromhex(d["signature"])):
                out[int(d["last"])] = bytes.fromhex(d["last_hash"])
    return out


class Log:
    """Follows the chain."""

    def __init__(self, marks, own, gone):
        self.marks, self.seq, self.hash, self.sure = marks, 0, NOTHING, 0
        self.orgs, self.own, self.gone, self.late = {}, own, gone, False

    def add(self, line):
        """Takes the next entry."""
        seq, prev, stored, canon = line["seq"], bytes.fromhex(line["prev"]), bytes.fromhex(line["hash"]), line["canon"].encode()
        whole = digest(line["chain"], seq, prev, canon) == stored
        if self.own:
            self.seq, self.hash = max(self.seq, seq - 1), prev  # what came between is others'
        if self.seq == 0 and seq > 1 and self.gone.get(seq - 1) == prev:
            self.seq, self.hash, self.sure, self.late = seq - 1, prev, seq - 1, True
            self.marks = [m for m in self.marks if m[0] >= seq]
        if seq > self.seq + 1:
            raise Broken("deleted", self.seq + 1, seq - 1, "entries are missing")
        if seq <= self.seq:
            raise Broken("duplicated", seq, seq, "an entry is there again")
        if not whole and prev != self.hash:
            raise Broken("reordered", seq, seq, "an entry stands where another one was")
        if line["chain"] != 1 or prev != self.hash or not whole:
            raise Broken("edited", seq, seq, "an entry does not follow, or is not what was hashed")
        try:
            entry = json.loads(canon)
            fits = canonical(entry) == canon
        except ValueError:
            fits = False
        if not fits:
            raise Broken("edited", seq, seq, "an entry is not in its canonical form")
        if "org" in entry:
            place, before = self.orgs.get(entry["org"], (0, NOTHING))
            if self.late and entry["org"] not in self.orgs:  # what came before is not given
                place, before = entry["org_seq"] - 1, bytes.fromhex(entry["org_prev"])
            if entry["org_seq"] != place + 1 or bytes.fromhex(entry["org_prev"]) != before:
                kind = "deleted" if entry["org_seq"] > place + 1 else "edited"
                raise Broken(kind, seq, seq, "an entry does not follow from its organisation's one before")
            self.orgs[entry["org"]] = (place + 1, stored)
        self.seq, self.hash = seq, stored
        while self.marks and self.marks[0][0] <= seq:
            size, root = self.marks.pop(0)
            if root != stored:
                raise Broken("rewritten", min(self.sure + 1, size), size, "the chain is another one than at a checkpoint")
            self.sure = size

    def end(self):
        """Ends the chain, which must reach all checkpoints."""
        if self.marks:
            raise Broken("truncated", self.seq + 1, self.marks[-1][0], "the chain ends before a checkpoint")


def verify(path, notes=None, key=None):
    """Verifies an export."""
    marks, own = [], notes == "--own"
    if notes and not own:
        with open(notes, encoding="utf-8", newline="") as file:
            marks = checkpoints(file.read(), key)
    with open(path, "rb") as file:
        gone = retired([line for line in map(json.loads, file) if "canon" in line and "audit.retention" in line["canon"]], key)
    log, total, missing = Log(marks, own, gone), hashlib.sha256(), None
    with open(path, "rb") as file:
        for raw in file:
            line = json.loads(raw)
            if line.get("kind") == "end":
                if missing:
                    raise missing
                if total.hexdigest() != line["sha256"]:
                    raise Broken("edited", 1, log.seq, "the lines are not those that the last line says")
                log.end()
                return {"ok": True, "entries": log.seq}
            total.update(raw)
            if missing:
                if missing.answer["kind"] == "deleted" and missing.answer["first"] == line["seq"]:
                    missing.answer["kind"] = "reordered"
                continue
            try:
                log.add(line)
            except Broken as found:
                missing = found
    raise SystemExit("the export has no last line")


if __name__ == "__main__":
    try:
        result = verify(*sys.argv[1:4])
    except Broken as broken:
        result = broken.answer
    print(json.dumps(result))
    sys.exit(0 if result["ok"] else 5)
