#!/usr/bin/env python3
"""A small XMPP load for ejabberd and Prosody, on loopback over direct TLS (RFC 6120, RFC 6121, XEP-0368).

  xmpp_load.py logon    --port P --pid PID  [--users N --logon-rate R]            CPU a logon
  xmpp_load.py idle     --port P --pid PID [--users N --logon-rate R --settle S]   memory an idle user
  xmpp_load.py message  --port P --pid PID [--users N --senders N --rate R --seconds S]
  xmpp_load.py presence --port P --pid PID [--watchers N --rate R --seconds S]   directed presence (RFC 6121 4.6)
  xmpp_load.py table NAME=FOLDER NAME=FOLDER

Users are u0, u1, ...@localhost with the password pw-USER; they have no contacts. Stanzas are found by their text, which is
enough for what these two servers send. CPU time is that of PID and its descendants (schedstat), memory their PSS.
Exit status: 0 passed, 1 failed, 2 could not begin.
"""
import argparse
import base64
import collections
import json
import pathlib
import re
import resource
import selectors
import socket
import ssl
import statistics
import sys
import time

AT_ONCE_MAX = 64  # logons that wait for the server
DRAIN_S = 10.0  # for what is still on its way at the end
BUFFER_MAX = 1 << 20
HEADER = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
BIND = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>"
# Ours carry "x SENDER RECEIVER NUMBER DUE_US" in the body or the status.
OURS = re.compile(rb"<(?:body|status)>x (\d+) (\d+) (\d+) (\d+)</(?:body|status)>")


def tree(pid):
    """The process and its descendants."""
    children = collections.defaultdict(list)
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # ended meanwhile
        children[int(text.rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found.extend(children[each])
    return found


def cpu_us(pid):
    total = 0
    for process in tree(pid):
        for task in pathlib.Path(f"/proc/{process}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:
                pass  # ended meanwhile
    return total / 1000


def pss_bytes(pid):
    total = 0
    for process in tree(pid):
        try:
            text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) * 1024
    return total


class Client:
    """One user: connects, logs on, then reads what comes."""

    def __init__(self, load, number):
        self.load, self.number = load, number
        self.steps = self.logon()
        self.wanted = None
        self.read, self.unsent = b"", b""
        self.mask = selectors.EVENT_WRITE
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(("127.0.0.1", load.port))
        self.raw, self.sock, self.ready = sock, None, False
        load.selector.register(sock, self.mask, self)

    def logon(self):
        """What is sent, and what has to come before the next is."""
        user = f"u{self.number}"
        plain = base64.b64encode(f"\0{user}\0pw-{user}".encode())
        features = yield HEADER, rb"</stream:features>"
        if b"PLAIN" not in features:
            raise ValueError("the server does not offer SASL PLAIN")
        yield b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + b"</auth>", rb"<success\b[^>]*>(?:</success>)?"
        yield HEADER, rb"</stream:features>"
        answer = yield BIND, rb"</iq>"
        if not re.search(rb"type=['\"]result['\"]", answer):
            raise ValueError("bind was refused")
        yield b"<presence/>", None

    def event(self):
        try:
            if self.sock is None:
                error = self.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                self.load.selector.unregister(self.raw)
                self.sock = self.load.tls.wrap_socket(self.raw, server_hostname="localhost", do_handshake_on_connect=False)
                self.load.selector.register(self.sock, self.mask, self)
            if self.steps and self.wanted is None:
                self.sock.do_handshake()
                self.send(*next(self.steps))
            self.flush()
            while True:
                text = self.sock.recv(16384)
                if not text:
                    raise OSError("the server closed the connection")
                self.read += text
                self.take()
        except ssl.SSLWantReadError:
            self.listen(selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0))
        except ssl.SSLWantWriteError:
            self.listen(selectors.EVENT_READ | selectors.EVENT_WRITE)
        except (OSError, ValueError) as error:
            self.load.fault(f"{'user' if self.ready else 'logon'}: {error}")
            self.close()

    def listen(self, mask):
        if mask != self.mask:
            self.mask = mask
            self.load.selector.modify(self.sock, mask, self)

    def send(self, text, wanted):
        self.unsent += text
        self.wanted = re.compile(wanted) if wanted else None
        self.flush()

    def flush(self):
        while self.unsent:
            self.unsent = self.unsent[self.sock.send(self.unsent):]

    def post(self, text):
        """Sends now, or when the socket takes it."""
        if self.sock is None:
            return
        self.unsent += text
        try:
            self.flush()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.listen(selectors.EVENT_READ | selectors.EVENT_WRITE)
        except OSError as error:
            self.load.fault(f"user: {error}")
            self.close()

    def take(self):
        if re.search(rb"<stream:error|<failure\b|type=['\"]error['\"]", self.read):
            raise ValueError("error from the server: " + self.read[-200:].decode(errors="replace"))
        while self.steps and self.wanted and (found := self.wanted.search(self.read)):
            text, self.read = self.read[:found.end()], self.read[found.end():]
            self.send(*self.steps.send(text))
            if self.wanted is None:
                self.steps, self.ready = None, True
                self.load.ready += 1
        if self.ready:
            end = 0
            for found in OURS.finditer(self.read):
                self.load.arrived(self.number, *map(int, found.groups()))
                end = found.end()
            # Ours are shorter than what is kept: none is cut in two, and none is seen twice.
            self.read = self.read[max(end, len(self.read) - 256):]
        elif len(self.read) > BUFFER_MAX:
            raise ValueError("too much before the logon's end")

    def close(self):
        sock = self.sock or self.raw
        try:
            self.load.selector.unregister(sock)
        except KeyError:
            pass
        sock.close()
        if not self.ready:
            self.load.failed += 1
        self.sock, self.steps = None, None


class Load:
    def __init__(self, options):
        self.port, self.pid = options.port, options.pid
        self.selector = selectors.DefaultSelector()
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE  # the server made its certificate itself
        self.clients, self.ready, self.failed = [], 0, 0
        self.faults = collections.Counter()
        self.sent, self.next_of = collections.Counter(), collections.Counter()
        self.delivered, self.late_us = 0, []

    def fault(self, what):
        if what in self.faults or len(self.faults) < 32:
            self.faults[what] += 1
        else:
            self.faults["more kinds of faults"] += 1

    def turn(self, until):
        for key, _ in self.selector.select(max(0.0, until - time.monotonic())):
            key.data.event()

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn(end)

    def log_on(self, count, rate):
        """At that rate, but no more than AT_ONCE_MAX at once."""
        start = time.monotonic() - len(self.clients) / rate  # of the schedule
        limit = start + 60 + 4 * count / rate
        while self.ready + self.failed < count and time.monotonic() < limit:
            now = time.monotonic()
            begun = len(self.clients)
            may = begun < count and begun - self.ready - self.failed < AT_ONCE_MAX
            if may and now >= start + begun / rate:
                self.clients.append(Client(self, begun))
                self.turn(now)
            else:
                self.turn(min(start + begun / rate, now + 0.05) if may else now + 0.05)
        if self.ready < count:
            self.fault(f"only {self.ready} of {count} users logged on")

    def arrived(self, here, sender, receiver, number, due_us):
        pair = (sender, receiver)
        if here != receiver:
            self.fault("came to another user than it was sent to")
        elif number != self.next_of[pair]:
            self.fault("lost, twice or out of order")
        self.next_of[pair] = number + 1
        self.delivered += 1
        self.late_us.append(time.monotonic_ns() // 1000 - due_us)

    def post(self, sender, receiver, due, presence):
        number = self.sent[sender, receiver]
        self.sent[sender, receiver] += 1
        text = f"x {sender} {receiver} {number} {int(due * 1e6)}"
        to = f"u{receiver}@localhost/x"
        stanza = f"<presence to='{to}'><status>{text}</status></presence>" if presence else f"<message to='{to}' type='chat'><body>{text}</body></message>"
        self.clients[sender].post(stanza.encode())

    def stanzas(self, rate, seconds, who):
        """`who` yields lists of (sender, receiver), `rate` of them a second by an open schedule; CPU time of the server, us."""
        presence = who.__name__ == "changes"
        before = cpu_us(self.pid)
        start = time.monotonic()
        for number, pairs in zip(range(int(rate * seconds)), who()):
            due = start + number / rate
            while time.monotonic() < due:
                self.turn(due)
            if time.monotonic() > start + 4 * seconds:
                self.fault("the generator or the server can't keep that rate")
                break
            for sender, receiver in pairs:
                self.post(sender, receiver, due, presence)
            if number % 16 == 0:
                self.turn(0)
        end = time.monotonic() + DRAIN_S
        while self.delivered < self.sent.total() and time.monotonic() < end:
            self.turn(time.monotonic() + 0.05)
        used = cpu_us(self.pid) - before
        if self.next_of != self.sent or self.delivered != self.sent.total():
            self.fault(f"{self.delivered} of {self.sent.total()} came")
        return used


def run(options):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = Load(options)
    users = options.watchers + 1 if options.command == "presence" else options.users
    report = {"command": options.command, "users": users}
    # The first ones are not counted: a server loads and allocates for them what it keeps for all.
    load.log_on(users // 10, options.logon_rate)
    load.wait(options.settle)
    first, memory, used = load.ready, pss_bytes(options.pid), cpu_us(options.pid)
    load.log_on(users, options.logon_rate)
    load.wait(1.0)
    counted = load.ready - first
    if options.command == "logon":
        report.update(operations=counted, cpu_us=(cpu_us(options.pid) - used) / max(1, counted))
    elif options.command == "idle":
        load.wait(options.settle)
        report.update(bytes_per_user=(pss_bytes(options.pid) - memory) / max(1, counted))
    elif not load.faults:
        def messages():
            number = 0
            while True:
                yield [(number % options.senders, options.senders + number % (users - options.senders))]
                number += 1

        def changes():
            while True:
                yield [(0, watcher) for watcher in range(1, users)]

        used = load.stanzas(options.rate, options.seconds, messages if options.command == "message" else changes)
        report.update(operations=load.delivered, cpu_us=used / max(1, load.delivered), rate=options.rate)
        if len(load.late_us) > 1:
            cuts = statistics.quantiles(load.late_us, n=100, method="inclusive")
            report.update(p50_us=cuts[49], p99_us=cuts[98])
    report.update(faults=dict(load.faults), passed=not load.faults)
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        pathlib.Path(options.json).write_text(text + "\n")
    return 0 if report["passed"] else 1


def us(value):
    return f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.2f} ms"


def kib(value):
    return f"{value / 1024:.1f} KiB"


LINES = [
    ("CPU a delivered message", "message", "cpu_us", us),
    ("  delivered, p50 (with the generator's own)", "message", "p50_us", us),
    ("  delivered, p99", "message", "p99_us", us),
    ("CPU a notified watcher (directed presence)", "presence", "cpu_us", us),
    ("memory an idle user", "idle", "bytes_per_user", kib),
    ("CPU a logon", "logon", "cpu_us", us),
]


def table(sides):
    sides = [side.split("=", 1) for side in sides]
    print(f"{'':<44}" + "".join(f"{name:>32}" for name, _ in sides))
    passed = True
    for name, load, key, text in LINES:
        cells = []
        for _, folder in sides:
            files = sorted(pathlib.Path(folder).glob(f"{load}.*json"))
            runs = [json.loads(file.read_text()) for file in files]
            values = [run[key] for run in runs if key in run]
            cell = text(statistics.median(values)) if values else "-"
            if len(values) > 1:
                cell += f" ({text(min(values))} to {text(max(values))})"
            if not runs or not all(run["passed"] for run in runs):
                cell, passed = cell + " (!)", False
            cells.append(cell)
        print(f"{name:<44}" + "".join(f"{cell:>32}" for cell in cells))
    if not passed:
        print("(!) a run failed or is missing")
    return 0 if passed else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, users, rate in (("logon", 1000, 0), ("idle", 5000, 0), ("message", 1000, 500), ("presence", 0, 5)):
        each = commands.add_parser(name)
        each.add_argument("--port", type=int, required=True)
        each.add_argument("--pid", type=int, required=True)
        each.add_argument("--json")
        each.add_argument("--users", type=int, default=users)
        each.add_argument("--senders", type=int, default=16)
        each.add_argument("--watchers", type=int, default=100)
        each.add_argument("--rate", type=float, default=rate)
        each.add_argument("--logon-rate", type=float, default=100)
        each.add_argument("--seconds", type=float, default=10)
        each.add_argument("--settle", type=float, default=3)
    commands.add_parser("table").add_argument("sides", nargs="+", metavar="NAME=FOLDER")
    options = parser.parse_args()
    if options.command == "table":
        return table(options.sides)
    if options.logon_rate <= 0 or options.command == "message" and not 0 < options.senders < options.users:
        parser.error("rates are above 0, and there are more users than senders")
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
