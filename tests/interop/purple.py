"""What every headless libpurple client of these tests needs: the library by ctypes, GLib's event loop under it, commands and events.

ctypes instead of C, so that neither a compiler nor the headers are needed for it: libpurple0 and python3 are.

The password is the first line of standard input. Then one command a line, its words separated by tabs. Standard output has one
event a line, in the same form; within a word a line's end is written `\\n`. What libpurple logs goes to `debug.log` in the state
folder; with this library's `unsafe` and `verbose` that is every SIP message too.
"""

import ctypes
import html
import os
import signal
import sys

glib = ctypes.CDLL("libglib-2.0.so.0", mode=ctypes.RTLD_GLOBAL)
purple = ctypes.CDLL("libpurple.so.0", mode=ctypes.RTLD_GLOBAL)

POINTER, TEXT, INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
G_IO_IN, G_IO_OUT, G_IO_ERR, G_IO_HUP, G_IO_NVAL = 1, 4, 8, 16, 32
PURPLE_INPUT_READ, PURPLE_INPUT_WRITE = 1, 2
UI = b"muster-interop"

SourceFunc = ctypes.CFUNCTYPE(INT, POINTER)
WatchFunc = ctypes.CFUNCTYPE(INT, POINTER, INT, POINTER)
InputFunc = ctypes.CFUNCTYPE(None, POINTER, INT, INT)
InputAdd = ctypes.CFUNCTYPE(ctypes.c_uint, INT, INT, POINTER, POINTER)


def declare(library, result, names, *arguments):
    """ctypes guesses `int` for what it isn't told, which cuts pointers in half."""
    for name in names.split():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


declare(glib, ctypes.c_uint, "g_timeout_add g_timeout_add_seconds", ctypes.c_uint, POINTER, POINTER)
declare(glib, INT, "g_source_remove", ctypes.c_uint)
declare(glib, POINTER, "g_io_channel_unix_new", INT)
declare(glib, None, "g_io_channel_unref", POINTER)
declare(glib, ctypes.c_uint, "g_io_add_watch", POINTER, INT, WatchFunc, POINTER)
declare(glib, POINTER, "g_main_loop_new", POINTER, INT)
declare(glib, None, "g_main_loop_run g_main_loop_quit g_free", POINTER)
declare(purple, ctypes.c_ulong, "purple_signal_connect", POINTER, TEXT, POINTER, POINTER, POINTER)
declare(purple, POINTER, "purple_connections_get_handle purple_conversations_get_handle purple_blist_get_handle purple_accounts_get_handle purple_blist_new")
declare(purple, INT, "purple_core_init", TEXT)
declare(purple, INT, "purple_primitive_get_type_from_id", TEXT)
declare(purple, None, "purple_plugins_add_search_path purple_util_set_user_dir", TEXT)
declare(purple, None, "purple_debug_set_ui_ops purple_core_set_ui_ops purple_eventloop_set_ui_ops purple_set_blist purple_savedstatus_activate purple_accounts_add purple_account_disconnect", POINTER)
declare(purple, None, "purple_debug_set_enabled purple_debug_set_verbose purple_debug_set_unsafe", INT)
declare(purple, None, "purple_prefs_set_bool purple_prefs_set_int", TEXT, INT)
declare(purple, POINTER, "purple_account_new", TEXT, TEXT)
declare(purple, None, "purple_account_set_password", POINTER, TEXT)
declare(purple, None, "purple_account_set_int purple_account_set_bool purple_account_set_enabled", POINTER, TEXT, INT)
declare(purple, None, "purple_account_set_string", POINTER, TEXT, TEXT)
declare(purple, POINTER, "purple_account_get_connection", POINTER)
declare(purple, None, "purple_account_add_buddy", POINTER, POINTER)
declare(purple, POINTER, "purple_buddy_new", POINTER, TEXT, TEXT)
declare(purple, TEXT, "purple_buddy_get_name", POINTER)
declare(purple, None, "purple_blist_add_buddy", POINTER, POINTER, POINTER, POINTER)
declare(purple, POINTER, "purple_savedstatus_new", TEXT, INT)
declare(purple, INT, "serv_send_im", POINTER, TEXT, TEXT, INT)
declare(purple, POINTER, "purple_markup_strip_html", TEXT)

kept = []  # what C holds a pointer to must not be collected


def keep(thing):
    kept.append(thing)
    return thing


def address(function):
    return ctypes.cast(function, POINTER)


def decode(text):
    return (text or b"").decode("utf-8", "replace")


def say(*words):
    line = "\t".join(word.replace("\r", "").replace("\n", "\\n").replace("\t", " ") for word in words)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def plain(markup):
    """The text of a message without its HTML."""
    text = purple.purple_markup_strip_html(markup)
    try:
        return decode(ctypes.cast(text, TEXT).value)
    finally:
        glib.g_free(text)


def markup(text):
    return html.escape(text, quote=False).encode()


# --- libpurple's event loop is GLib's ---


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

    # Kept for good, also after the watch went: a callback may remove itself while it runs.
    return watch(descriptor, wanted, keep(WatchFunc(ready)))


def watch(descriptor, wanted, ready):
    channel = glib.g_io_channel_unix_new(descriptor)
    source = glib.g_io_add_watch(channel, wanted, ready, None)
    glib.g_io_channel_unref(channel)
    return source


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
        ("print", ctypes.CFUNCTYPE(None, INT, TEXT, TEXT)),
        ("is_enabled", ctypes.CFUNCTYPE(INT, INT, TEXT)),
        ("reserved", POINTER * 4),
    ]


class CoreUiOps(ctypes.Structure):
    _fields_ = [("operations", POINTER * 5), ("reserved", POINTER * 3)]


OWNER = keep(INT(0))
main_loop = glib.g_main_loop_new(None, 0)
leaving = False


def on(handle, name, types, function):
    """Has libpurple call `function` at a signal; the last argument that it gets is of no use."""
    callback = keep(ctypes.CFUNCTYPE(None, *types, POINTER)(lambda *arguments: function(*arguments[:-1]) and None))
    purple.purple_signal_connect(handle, name, address(ctypes.byref(OWNER)), address(callback), None)


def begin(state_dir):
    """libpurple with nothing in it yet, its files in `state_dir`."""
    log = keep(open(os.path.join(state_dir, "debug.log"), "wb", buffering=0))

    def debug(_level, category, text):
        log.write(b"%s: %s" % (category or b"", text or b""))

    purple.purple_util_set_user_dir(os.fsencode(state_dir))
    purple.purple_debug_set_ui_ops(ctypes.byref(keep(DebugUiOps(
        DebugUiOps._fields_[0][1](debug),
        DebugUiOps._fields_[1][1](lambda _level, _category: 1),
    ))))
    purple.purple_debug_set_verbose(1)
    purple.purple_debug_set_unsafe(1)
    purple.purple_core_set_ui_ops(ctypes.byref(keep(CoreUiOps())))
    purple.purple_eventloop_set_ui_ops(ctypes.byref(keep(EventLoopUiOps(
        address(glib.g_timeout_add), address(glib.g_source_remove), InputAdd(input_add), address(glib.g_source_remove),
        None, address(glib.g_timeout_add_seconds),
    ))))
    # GLib children and a server that closes must not end us.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # Debian's multiarch folder is not always compiled in.
    for folder in ("/usr/lib/purple-2", f"/usr/lib/{os.uname().machine}-linux-gnu/purple-2"):
        purple.purple_plugins_add_search_path(folder.encode())
    if not purple.purple_core_init(UI):
        sys.exit("error libpurple did not start")
    purple.purple_set_blist(purple.purple_blist_new())
    # A protocol may listen too, by itself from port 5060 upwards, where a server might want to be. Any port will do.
    purple.purple_prefs_set_bool(b"/purple/network/ports_range_use", 1)
    purple.purple_prefs_set_int(b"/purple/network/ports_range_start", 0)
    purple.purple_prefs_set_int(b"/purple/network/ports_range_end", 0)


def new_account(name, protocol, settings):
    account = purple.purple_account_new(name.encode(), protocol)
    purple.purple_account_set_password(account, sys.stdin.buffer.raw.readline().rstrip(b"\n"))
    for key, value in settings.items():
        if isinstance(value, bool):
            purple.purple_account_set_bool(account, key.encode(), value)
        elif isinstance(value, int):
            purple.purple_account_set_int(account, key.encode(), value)
        else:
            purple.purple_account_set_string(account, key.encode(), value.encode())
    purple.purple_accounts_add(account)
    return account


def run(account, commands):
    """Signs on, does what standard input says, and ends after `quit` or its end. `commands` are functions by name."""
    connections = purple.purple_connections_get_handle()
    on(connections, b"signed-on", (POINTER,), lambda _gc: say("signed-on"))
    on(connections, b"connection-error", (POINTER, INT, TEXT), lambda _gc, _kind, text: say("error", decode(text)))

    def signed_off(_gc):
        say("signed-off")
        if leaving:
            glib.g_main_loop_quit(main_loop)

    on(connections, b"signed-off", (POINTER,), signed_off)

    def quit():
        global leaving
        leaving = True
        if purple.purple_account_get_connection(account):
            purple.purple_account_disconnect(account)
        else:
            glib.g_main_loop_quit(main_loop)

    commands = {"quit": quit, **commands}
    unread = b""

    def commands_ready(_channel, _happened, _data):
        nonlocal unread
        piece = os.read(0, 65536)
        if not piece:
            glib.g_main_loop_quit(main_loop)
            return 0
        *lines, unread = (unread + piece).split(b"\n")
        for line in lines:
            verb, *words = decode(line).split("\t")
            try:
                commands[verb](*words)
            except (KeyError, TypeError, LookupError) as problem:
                say("error", f"command {line!r}: {problem!r}")
        return 1

    online = purple.purple_savedstatus_new(None, purple.purple_primitive_get_type_from_id(b"available"))
    purple.purple_savedstatus_activate(online)
    purple.purple_account_set_enabled(account, UI, 1)
    watch(0, G_IO_IN | G_IO_HUP, keep(WatchFunc(commands_ready)))
    glib.g_main_loop_run(main_loop)
    say("end")
    purple.purple_core_quit()
