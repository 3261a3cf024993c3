#!/usr/bin/env python3
"""One headless Pidgin: libpurple's SIMPLE protocol (prpl-simple), without a window.

usage: pidgin.py USER@DOMAIN HOST PORT STATE_DIR

The password is the first line of standard input. Then one command a line:

    buddy USER@DOMAIN         watch somebody (Pidgin subscribes about ten seconds later)
    im USER@DOMAIN TEXT       a message; TEXT is plain text
    quit                      signs off and ends

Standard output has one event a line: `signed-on`, `signed-off`, `error TEXT`, `im FROM TEXT`,
`presence BUDDY STATUS` with available or offline, which is all that prpl-simple knows, and what libpurple logs of these matters as `debug …`.
ctypes instead of C, so that neither a compiler nor the headers are needed: libpurple0 and python3 are.
"""

import ctypes
import os
import signal
import sys
import html

if len(sys.argv) != 5:
    sys.exit(__doc__)
ACCOUNT, HOST, PORT, STATE_DIR = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

glib = ctypes.CDLL("libglib-2.0.so.0", mode=ctypes.RTLD_GLOBAL)
purple = ctypes.CDLL("libpurple.so.0", mode=ctypes.RTLD_GLOBAL)

POINTER, TEXT = ctypes.c_void_p, ctypes.c_char_p
G_IO_IN, G_IO_OUT, G_IO_ERR, G_IO_HUP, G_IO_NVAL = 1, 4, 8, 16, 32
PURPLE_INPUT_READ, PURPLE_INPUT_WRITE = 1, 2
UI = b"muster-interop"
TOLD = ("simple", "account", "connection")  # libpurple's log categories that are passed on

SourceFunc = ctypes.CFUNCTYPE(ctypes.c_int, POINTER)
WatchFunc = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, ctypes.c_int, POINTER)
InputFunc = ctypes.CFUNCTYPE(None, POINTER, ctypes.c_int, ctypes.c_int)
TimeoutAdd = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_uint, POINTER, POINTER)
Remove = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint)
InputAdd = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_int, POINTER, POINTER)


def declare(library, name, result, *arguments):
    """ctypes guesses `int` for what it isn't told, which cuts pointers in half."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


g_timeout_add = declare(glib, "g_timeout_add", ctypes.c_uint, ctypes.c_uint, POINTER, POINTER)
g_timeout_add_seconds = declare(glib, "g_timeout_add_seconds", ctypes.c_uint, ctypes.c_uint, POINTER, POINTER)
g_source_remove = declare(glib, "g_source_remove", ctypes.c_int, ctypes.c_uint)
g_io_channel_unix_new = declare(glib, "g_io_channel_unix_new", POINTER, ctypes.c_int)
g_io_channel_unref = declare(glib, "g_io_channel_unref", None, POINTER)
g_io_add_watch = declare(glib, "g_io_add_watch", ctypes.c_uint, POINTER, ctypes.c_int, WatchFunc, POINTER)
g_main_loop_new = declare(glib, "g_main_loop_new", POINTER, POINTER, ctypes.c_int)
g_main_loop_run = declare(glib, "g_main_loop_run", None, POINTER)
g_main_loop_quit = declare(glib, "g_main_loop_quit", None, POINTER)
purple_signal_connect = declare(purple, "purple_signal_connect", ctypes.c_ulong, POINTER, TEXT, POINTER, POINTER, POINTER)
for accessor in ("purple_connections_get_handle", "purple_conversations_get_handle", "purple_blist_get_handle"):
    declare(purple, accessor, POINTER)
declare(purple, "purple_core_init", ctypes.c_int, TEXT)
declare(purple, "purple_account_new", POINTER, TEXT, TEXT)
declare(purple, "purple_account_set_password", None, POINTER, TEXT)
declare(purple, "purple_account_set_int", None, POINTER, TEXT, ctypes.c_int)
declare(purple, "purple_account_set_bool", None, POINTER, TEXT, ctypes.c_int)
declare(purple, "purple_account_set_string", None, POINTER, TEXT, TEXT)
declare(purple, "purple_account_set_enabled", None, POINTER, TEXT, ctypes.c_int)
declare(purple, "purple_account_add_buddy", None, POINTER, POINTER)
declare(purple, "purple_account_get_connection", POINTER, POINTER)
declare(purple, "purple_account_disconnect", None, POINTER)
declare(purple, "purple_accounts_add", None, POINTER)
declare(purple, "purple_buddy_new", POINTER, POINTER, TEXT, TEXT)
declare(purple, "purple_buddy_get_name", TEXT, POINTER)
declare(purple, "purple_blist_new", POINTER)
declare(purple, "purple_set_blist", None, POINTER)
declare(purple, "purple_blist_add_buddy", None, POINTER, POINTER, POINTER, POINTER)
declare(purple, "purple_savedstatus_new", POINTER, TEXT, ctypes.c_int)
declare(purple, "purple_savedstatus_activate", None, POINTER)
declare(purple, "purple_primitive_get_type_from_id", ctypes.c_int, TEXT)
declare(purple, "purple_prefs_set_bool", None, TEXT, ctypes.c_int)
declare(purple, "purple_prefs_set_int", None, TEXT, ctypes.c_int)
declare(purple, "serv_send_im", ctypes.c_int, POINTER, TEXT, TEXT, ctypes.c_int)
declare(purple, "purple_plugins_add_search_path", None, TEXT)
declare(purple, "purple_util_set_user_dir", None, TEXT)
declare(purple, "purple_debug_set_ui_ops", None, POINTER)
declare(purple, "purple_core_set_ui_ops", None, POINTER)
declare(purple, "purple_eventloop_set_ui_ops", None, POINTER)

kept = []  # what C holds a pointer to must not be collected


def keep(thing):
    kept.append(thing)
    return thing


def say(*words):
    line = " ".join(word.replace("\r", "").replace("\n", "\\n") for word in words)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# --- libpurple's event loop is GLib's ---

watches = {}


def input_add(descriptor, condition, function, data):
    wanted = 0
    if condition & PURPLE_INPUT_READ:
        wanted |= G_IO_IN | G_IO_HUP | G_IO_ERR
    if condition & PURPLE_INPUT_WRITE:
        wanted |= G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL
    call = InputFunc(function)

    def ready(_channel, happened, _data):
        read = PURPLE_INPUT_READ if happened & (G_IO_IN | G_IO_HUP | G_IO_ERR) else 0
        write = PURPLE_INPUT_WRITE if happened & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL) else 0
        call(data, descriptor, (read | write) & condition)
        return 1

    ready = WatchFunc(ready)
    channel = g_io_channel_unix_new(descriptor)
    watch = g_io_add_watch(channel, wanted, ready, None)
    g_io_channel_unref(channel)
    # Kept for good, also after the watch went: a callback may remove itself while it runs.
    keep(ready)
    return watch


class EventLoopUiOps(ctypes.Structure):
    _fields_ = [
        ("timeout_add", POINTER),
        ("timeout_remove", POINTER),
        ("input_add", InputAdd),
        ("input_remove", POINTER),
        ("input_get_error", POINTER),
        ("timeout_add_seconds", POINTER),
        ("reserved", POINTER * 3),
    ]


class DebugUiOps(ctypes.Structure):
    _fields_ = [
        ("print", ctypes.CFUNCTYPE(None, ctypes.c_int, TEXT, TEXT)),
        ("is_enabled", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, TEXT)),
        ("reserved", POINTER * 4),
    ]


class CoreUiOps(ctypes.Structure):
    _fields_ = [
        ("ui_prefs_init", POINTER),
        ("debug_ui_init", POINTER),
        ("ui_init", POINTER),
        ("quit", POINTER),
        ("get_ui_info", POINTER),
        ("reserved", POINTER * 3),
    ]


def address(function):
    return ctypes.cast(function, POINTER)


def decode(text):
    return (text or b"").decode("utf-8", "replace")


event_loop = keep(EventLoopUiOps(
    address(g_timeout_add), address(g_source_remove), InputAdd(input_add), address(g_source_remove),
    None, address(g_timeout_add_seconds),
))
debug = keep(DebugUiOps(
    DebugUiOps._fields_[0][1](lambda _level, category, text: decode(category) in TOLD and say("debug", decode(category), decode(text)) and None),
    DebugUiOps._fields_[1][1](lambda _level, _category: 1),
))

purple.purple_util_set_user_dir(os.fsencode(STATE_DIR))
purple.purple_debug_set_ui_ops(ctypes.byref(debug))
purple.purple_core_set_ui_ops(ctypes.byref(keep(CoreUiOps())))
purple.purple_eventloop_set_ui_ops(ctypes.byref(event_loop))
# GLib children and a server that closes must not end us.
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
# Debian's multiarch folder is not always compiled in.
for folder in ("/usr/lib/purple-2", f"/usr/lib/{os.uname().machine}-linux-gnu/purple-2"):
    purple.purple_plugins_add_search_path(folder.encode())
if not purple.purple_core_init(UI):
    sys.exit("error libpurple did not start")
purple.purple_set_blist(purple.purple_blist_new())

# prpl-simple listens too, by itself from port 5060 upwards, where a server might want to be. Any port will do.
purple.purple_prefs_set_bool(b"/purple/network/ports_range_use", 1)
purple.purple_prefs_set_int(b"/purple/network/ports_range_start", 0)
purple.purple_prefs_set_int(b"/purple/network/ports_range_end", 0)

# --- what happens, said on standard output ---

main_loop = g_main_loop_new(None, 0)


def on(handle, name, types, function):
    callback = keep(ctypes.CFUNCTYPE(None, *types)(function))
    purple_signal_connect(handle, name, address(ctypes.byref(OWNER)), address(callback), None)


OWNER = keep(ctypes.c_int(0))


def received(_account, sender, text, _conversation, _flags, _data):
    say("im", decode(sender), html.unescape(decode(text)))


def came_or_went(status):
    return lambda buddy, _data: say("presence", decode(purple.purple_buddy_get_name(buddy)), status)


connections = purple.purple_connections_get_handle()
on(connections, b"signed-on", (POINTER, POINTER), lambda _gc, _data: say("signed-on"))
on(connections, b"signed-off", (POINTER, POINTER), lambda _gc, _data: (say("signed-off"), leaving and g_main_loop_quit(main_loop)))
on(connections, b"connection-error", (POINTER, ctypes.c_int, TEXT, POINTER), lambda _gc, _kind, text, _data: say("error", decode(text)))
on(purple.purple_conversations_get_handle(), b"received-im-msg", (POINTER, TEXT, TEXT, POINTER, ctypes.c_int, POINTER), received)
buddies = purple.purple_blist_get_handle()
on(buddies, b"buddy-signed-on", (POINTER, POINTER), came_or_went("available"))
on(buddies, b"buddy-signed-off", (POINTER, POINTER), came_or_went("offline"))

# --- the account ---

account = purple.purple_account_new(ACCOUNT.encode(), b"prpl-simple")
purple.purple_account_set_password(account, sys.stdin.buffer.raw.readline().rstrip(b"\n"))
purple.purple_account_set_bool(account, b"udp", 0)
purple.purple_account_set_bool(account, b"dopublish", 1)
purple.purple_account_set_bool(account, b"useproxy", 1)
purple.purple_account_set_string(account, b"proxy", HOST.encode())
purple.purple_account_set_int(account, b"port", PORT)
purple.purple_accounts_add(account)


leaving = False
unread = b""


def command(line):
    global leaving
    verb, _, rest = line.partition(" ")
    if verb == "buddy":
        buddy = purple.purple_buddy_new(account, rest.encode(), None)
        purple.purple_blist_add_buddy(buddy, None, None, None)
        purple.purple_account_add_buddy(account, buddy)
    elif verb == "im":
        to, _, text = rest.partition(" ")
        gc = purple.purple_account_get_connection(account)
        if gc:
            purple.serv_send_im(gc, to.encode(), html.escape(text, quote=False).encode(), 0)
        else:
            say("error not connected")
    elif verb == "quit":
        leaving = True
        purple.purple_account_disconnect(account)
    else:
        say("error unknown command", verb)


def commands_ready(_channel, _happened, _data):
    global unread
    piece = os.read(0, 65536)
    if not piece:
        g_main_loop_quit(main_loop)
        return 0
    *lines, unread = (unread + piece).split(b"\n")
    for line in lines:
        command(decode(line))
    return 1


online = purple.purple_savedstatus_new(None, purple.purple_primitive_get_type_from_id(b"available"))
purple.purple_savedstatus_activate(online)
purple.purple_account_set_enabled(account, UI, 1)
g_io_add_watch(g_io_channel_unix_new(0), G_IO_IN | G_IO_HUP, keep(WatchFunc(commands_ready)), None)
g_main_loop_run(main_loop)
say("end")
purple.purple_core_quit()
