#!/usr/bin/env python3
"""One headless SIPE: libpurple's prpl-sipe (package pidgin-sipe), without a window. `sipe.c` has to be preloaded.

usage: sipe.py USER@DOMAIN[,LOGIN] HOST:PORT CERTIFICATE STATE_DIR

Commands, in the form that `purple.py` says; WHO is USER@DOMAIN:

    add WHO GROUP NAME        a contact; NAME may be empty
    remove WHO                from the contacts, in each of its groups
    alias WHO NAME            the contact's name
    move WHO GROUP            to another group
    group-rename OLD NEW
    group-remove GROUP        with the contacts that are in no other
    contacts                  says `contacts`
    status ID NOTE            available, away, busy, brb, dnd, invisible …; NOTE may be empty
    im WHO TEXT               TEXT is plain text, as everywhere
    typing WHO STATE          1 types, 0 doesn't
    close WHO                 the window of the talk with somebody
    deny WHO, undeny WHO      libpurple's own blocking
    allow WHO                 an answer to `asks-to-add`
    menu WHO LABEL …          an entry of a contact's menu, by the labels that lead to it
    access WHO                says `access`: which level a contact has
    say ROOM TEXT             in a conference
    leave ROOM
    search FIELD TEXT         the account's contact search: a field by its label
    info WHO
    quit                      signs off and ends

Events:

    signed-on, signed-off, end, error TEXT
    contact WHO STATUS TEXT   a contact's status or its text (activity, note) has changed
    own STATUS                the own status has changed
    contacts GROUP/WHO=NAME … in alphabetical order
    im WHO TEXT, im-error WHO TEXT, im-system WHO TEXT
    typing WHO 0|1
    added-by WHO NAME, asks-to-add WHO NAME
    joined ROOM, member ROOM WHO [op], member-left ROOM WHO, left ROOM
    chat ROOM WHO TEXT, chat-error ROOM TEXT, chat-system ROOM TEXT
    access WHO LEVEL
    found COLUMN=VALUE …, found-all COUNT
    message TEXT              what SIPE shows in a box
    info WHO LABEL=VALUE …
"""

import ctypes
import os
import sys

import purple as lib
from purple import INT, POINTER, TEXT, declare, decode, glib, keep, markup, on, plain, purple, say

if len(sys.argv) != 5:
    sys.exit(__doc__)
ACCOUNT, SERVER, CERTIFICATE, STATE_DIR = sys.argv[1:]

SYSTEM, ERROR, RECEIVED = 0x0004, 0x0200, 0x0002  # PurpleMessageFlags
IM, CHAT = 1, 2  # PurpleConversationType
OPERATOR = 0x0004  # PurpleConvChatBuddyFlags

declare(purple, POINTER, """
    purple_buddy_get_group purple_buddy_get_presence purple_presence_get_active_status purple_connection_get_prpl
    purple_conversation_get_chat_data purple_conversation_get_im_data purple_request_fields_get_groups
    purple_request_field_group_get_fields purple_notify_user_info_get_entries
""", POINTER)
declare(purple, TEXT, """
    purple_buddy_get_alias_only purple_group_get_name purple_status_get_id purple_conversation_get_name
    purple_request_field_get_label purple_notify_user_info_entry_get_label purple_notify_user_info_entry_get_value
""", POINTER)
declare(purple, None, """
    purple_blist_remove_buddy purple_blist_remove_group purple_conversation_destroy serv_alias_buddy
    purple_blist_set_ui_ops purple_accounts_set_ui_ops purple_request_set_ui_ops purple_notify_set_ui_ops
""", POINTER)
declare(purple, INT, "purple_blist_node_get_type purple_conv_chat_get_id", POINTER)
declare(purple, POINTER, "purple_find_buddy purple_find_buddies", POINTER, TEXT)
declare(purple, POINTER, "purple_find_group purple_group_new", TEXT)
declare(purple, POINTER, "purple_find_conversation_with_account", INT, TEXT, POINTER)
declare(purple, POINTER, "purple_conversation_new", INT, POINTER, TEXT)
declare(purple, None, "purple_account_remove_buddy", POINTER, POINTER, POINTER)
declare(purple, None, "purple_blist_add_group", POINTER, POINTER)
declare(purple, None, "purple_blist_rename_group purple_blist_alias_buddy purple_request_field_string_set_value purple_conv_im_send serv_get_info", POINTER, TEXT)
declare(purple, None, "purple_privacy_deny purple_privacy_allow", POINTER, TEXT, INT, INT)
declare(purple, INT, "serv_chat_send", POINTER, INT, TEXT, INT)
declare(purple, ctypes.c_uint, "serv_send_typing", POINTER, TEXT, INT)


class PluginInfo(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint),
        ("major_version", ctypes.c_uint),
        ("minor_version", ctypes.c_uint),
        ("type", INT),
        ("ui_requirement", TEXT),
        ("flags", ctypes.c_ulong),
        ("dependencies", POINTER),
        ("priority", INT),
        ("texts", TEXT * 7),
        ("load_unload_destroy_ui", POINTER * 4),
        ("extra_info", POINTER),
        ("prefs_info", POINTER),
        ("actions", ctypes.CFUNCTYPE(POINTER, POINTER, POINTER)),
    ]


class Plugin(ctypes.Structure):
    _fields_ = [("native_loaded", INT * 2), ("handle", POINTER), ("path", TEXT), ("info", ctypes.POINTER(PluginInfo))]


class Protocol(ctypes.Structure):
    _fields_ = [
        ("options", INT),
        ("user_splits", POINTER),
        ("protocol_options", POINTER),
        ("icon_format", TEXT),
        ("icon_sizes", INT * 4),
        ("icon_filesize_max", ctypes.c_size_t),
        ("icon_scale_rules", INT),
        ("list_icon_emblem", POINTER * 2),
        ("status_text", ctypes.CFUNCTYPE(POINTER, POINTER)),
        ("tooltip_text", POINTER),
        ("status_types", POINTER),
        ("blist_node_menu", ctypes.CFUNCTYPE(POINTER, POINTER)),
    ]


class MenuAction(ctypes.Structure):
    _fields_ = [("label", TEXT), ("callback", POINTER), ("data", POINTER), ("children", POINTER)]


class PluginAction(ctypes.Structure):
    _fields_ = [("label", TEXT), ("callback", POINTER), ("plugin", POINTER), ("context", POINTER), ("user_data", POINTER)]


class Link(ctypes.Structure):
    _fields_ = [("data", POINTER), ("next", POINTER)]


class Text(ctypes.Structure):
    _fields_ = [("text", TEXT)]


class SearchResults(ctypes.Structure):
    _fields_ = [("columns", POINTER), ("rows", POINTER)]


def at(structure, pointer):
    return ctypes.cast(pointer, ctypes.POINTER(structure)).contents


def links(list_):
    """The pointers in a GList or GSList."""
    while list_:
        link = at(Link, list_)
        yield link.data
        list_ = link.next


def text_at(pointer):
    return decode(ctypes.cast(pointer, TEXT).value) if pointer else ""


def aor(who):
    """SIPE's names have a scheme, ours haven't."""
    return who.removeprefix("sip:")


def uri(who):
    return f"sip:{who}".encode()


# --- what libpurple tells its user interface ---


def operations(setter, **functions):
    """A table of a user interface's operations, of which these are ours: name=(index, types, function)."""
    table = keep((POINTER * 24)())
    for index, types, function in functions.values():
        table[index] = lib.address(keep(ctypes.CFUNCTYPE(*types)(function)))
    setter(ctypes.addressof(table))


lib.begin(STATE_DIR)
# What the server's certificate was the last time, as far as libpurple knows: so it needs nobody to ask.
peers = os.path.join(STATE_DIR, "certificates", "x509", "tls_peers")
os.makedirs(peers, exist_ok=True)
with open(CERTIFICATE, "rb") as certificate, open(os.path.join(peers, SERVER.partition(":")[0]), "wb") as peer:
    peer.write(certificate.read())
account = lib.new_account(ACCOUNT, b"prpl-sipe", {"server": SERVER, "transport": "tls", "authentication": "ntlm", "dont-publish": True})


def connection():
    gc = purple.purple_account_get_connection(account)
    if not gc:
        raise LookupError("not connected")
    return gc


def plugin_info():
    return at(Plugin, purple.purple_connection_get_prpl(connection())).info.contents


def protocol():
    return at(Protocol, plugin_info().extra_info)


shown = {}  # the last status and text of each contact


def contact_changed(_list, node):
    if purple.purple_blist_node_get_type(node) != 2 or not purple.purple_account_get_connection(account):
        return
    who = aor(decode(purple.purple_buddy_get_name(node)))
    status = decode(purple.purple_status_get_id(purple.purple_presence_get_active_status(purple.purple_buddy_get_presence(node))))
    text = protocol().status_text(node)
    now = (status, plain(ctypes.cast(text, TEXT).value) if text else "")
    glib.g_free(text)
    if shown.get(who) != now:
        shown[who] = now
        say("contact", who, *now)


asking = {}  # who wants to be allowed to add us, and what to call then


def added(_account, who, _id, alias, _message):
    say("added-by", aor(decode(who)), decode(alias))


def asks_to_add(_account, who, _id, alias, _message, _on_list, yes, _no, data):
    asking[aor(decode(who))] = (ctypes.CFUNCTYPE(None, POINTER)(yes), data)
    say("asks-to-add", aor(decode(who)), decode(alias))
    return 1


form = []  # the form that is open


def asks_fields(_title, _primary, _secondary, fields, _ok_text, ok, _cancel_text, _cancel, _account, _who, _conversation, data):
    form[:] = [fields, ctypes.CFUNCTYPE(None, POINTER, POINTER)(ok), data]
    return 1


def found(_gc, _title, _primary, _secondary, results, _data):
    results = at(SearchResults, results)
    titles = [decode(at(Text, column).text) for column in links(results.columns)]
    rows = list(links(results.rows))
    for row in rows:
        say("found", *(f"{title}={text_at(cell)}" for title, cell in zip(titles, links(row))))
    say("found-all", str(len(rows)))
    return 1


def told(_kind, _title, primary, secondary):
    say("message", decode(primary), decode(secondary))
    return 1


def told_info(_gc, who, info):
    pairs = (
        f"{decode(purple.purple_notify_user_info_entry_get_label(entry))}={decode(purple.purple_notify_user_info_entry_get_value(entry))}"
        for entry in links(purple.purple_notify_user_info_get_entries(info))
    )
    say("info", aor(decode(who)), *pairs)
    return 1


operations(purple.purple_blist_set_ui_ops, update=(3, (None, POINTER, POINTER), contact_changed))
operations(
    purple.purple_accounts_set_ui_ops,
    notify_added=(0, (None, POINTER, TEXT, TEXT, TEXT, TEXT), added),
    request_add=(2, (None, POINTER, TEXT, TEXT, TEXT, TEXT), added),
    request_authorize=(3, (POINTER, POINTER, TEXT, TEXT, TEXT, TEXT, INT, POINTER, POINTER, POINTER), asks_to_add),
)
operations(
    purple.purple_notify_set_ui_ops,
    message=(0, (POINTER, INT, TEXT, TEXT, TEXT), told),
    searchresults=(4, (POINTER, POINTER, TEXT, TEXT, TEXT, POINTER, POINTER), found),
    userinfo=(6, (POINTER, POINTER, TEXT, POINTER), told_info),
)
operations(
    purple.purple_request_set_ui_ops,
    fields=(3, (POINTER, TEXT, TEXT, TEXT, POINTER, TEXT, POINTER, TEXT, POINTER, POINTER, TEXT, POINTER, POINTER), asks_fields),
)

# --- what happens in conversations ---


def room(conversation):
    return decode(purple.purple_conversation_get_name(conversation))


def wrote(kind):
    def written(_account, who, text, conversation, flags):
        where = aor(room(conversation))
        if flags & ERROR:
            say(f"{kind}-error", where, plain(text))
        elif flags & SYSTEM:
            say(f"{kind}-system", where, plain(text))
        elif flags & RECEIVED:
            say(kind, *([where] if kind == "im" else [where, aor(decode(who))]), plain(text))

    return written


def member(conversation, who, flags):
    say("member", room(conversation), aor(decode(who)), *(["op"] if flags & OPERATOR else []))


conversations = purple.purple_conversations_get_handle()
on(conversations, b"wrote-im-msg", (POINTER, TEXT, TEXT, POINTER, INT), wrote("im"))
on(conversations, b"wrote-chat-msg", (POINTER, TEXT, TEXT, POINTER, INT), wrote("chat"))
on(conversations, b"buddy-typing", (POINTER, TEXT), lambda _account, who: say("typing", aor(decode(who)), "1"))
on(conversations, b"buddy-typing-stopped", (POINTER, TEXT), lambda _account, who: say("typing", aor(decode(who)), "0"))
on(conversations, b"chat-joined", (POINTER,), lambda conversation: say("joined", room(conversation)))
on(conversations, b"chat-left", (POINTER,), lambda conversation: say("left", room(conversation)))
on(conversations, b"chat-buddy-joined", (POINTER, TEXT, INT, INT), lambda conversation, who, flags, _new: member(conversation, who, flags))
on(conversations, b"chat-buddy-flags", (POINTER, TEXT, INT, INT), lambda conversation, who, _old, flags: member(conversation, who, flags))
on(conversations, b"chat-buddy-left", (POINTER, TEXT, TEXT), lambda conversation, who, _why: say("member-left", room(conversation), aor(decode(who))))
on(
    purple.purple_accounts_get_handle(), b"account-status-changed", (POINTER, POINTER, POINTER),
    lambda _account, _old, new: say("own", decode(purple.purple_status_get_id(new))),
)

# --- commands ---


def contact(who):
    return purple.purple_find_buddy(account, uri(who)) or fail(f"no contact {who}")


def fail(problem):
    raise LookupError(problem)


def group(name):
    found_ = purple.purple_find_group(name.encode())
    if not found_:
        found_ = purple.purple_group_new(name.encode())
        purple.purple_blist_add_group(found_, None)
    return found_


def add(who, group_name, alias):
    buddy = purple.purple_buddy_new(account, uri(who), alias.encode() or None)
    purple.purple_blist_add_buddy(buddy, None, group(group_name), None)
    purple.purple_account_add_buddy(account, buddy)


def remove(who):
    for buddy in list(links(purple.purple_find_buddies(account, uri(who)))):
        purple.purple_account_remove_buddy(account, buddy, purple.purple_buddy_get_group(buddy))
        purple.purple_blist_remove_buddy(buddy)


def rename(who, alias):
    purple.purple_blist_alias_buddy(contact(who), alias.encode())
    purple.serv_alias_buddy(contact(who))


def group_remove(name):
    for buddy in list(links(purple.purple_find_buddies(account, None))):
        if decode(purple.purple_group_get_name(purple.purple_buddy_get_group(buddy))) == name:
            purple.purple_account_remove_buddy(account, buddy, group(name))
            purple.purple_blist_remove_buddy(buddy)
    purple.purple_blist_remove_group(group(name))


def contacts():
    entries = []
    for buddy in links(purple.purple_find_buddies(account, None)):
        name, alias = decode(purple.purple_buddy_get_name(buddy)), decode(purple.purple_buddy_get_alias_only(buddy))
        # SIPE calls somebody without a name by the URI.
        alias = "" if alias == name else alias
        entries.append(f"{decode(purple.purple_group_get_name(purple.purple_buddy_get_group(buddy)))}/{aor(name)}={alias}")
    say("contacts", *sorted(entries))


def set_status(name, note):
    attributes = [b"message", note.encode()] if note else []
    purple.purple_account_set_status(POINTER(account), name.encode(), 1, *attributes, None)


def im(who, text):
    # Through a conversation, as a window does: what can't be delivered is said in it.
    name = uri(who)
    talk = purple.purple_find_conversation_with_account(IM, name, account) or purple.purple_conversation_new(IM, account, name)
    purple.purple_conv_im_send(purple.purple_conversation_get_im_data(talk), markup(text))


def conversation(kind, name):
    return purple.purple_find_conversation_with_account(kind, name, account) or fail(f"no conversation {name!r}")


def menu(who, *labels):
    node = contact(who)
    actions = protocol().blist_node_menu(node)
    for label in labels:
        # In a menu of which one entry is the choice, its label begins with `= `, and the others are as far in.
        entries = {decode(action.label).lstrip("= "): action for action in (at(MenuAction, data) for data in links(actions) if data)}
        if label not in entries:
            fail(f"no {label!r} among {sorted(entries)}")
        action = entries[label]
        actions = action.children
    ctypes.CFUNCTYPE(None, POINTER, POINTER)(action.callback)(node, action.data)


def access(who):
    levels = next(at(MenuAction, data).children for data in links(protocol().blist_node_menu(contact(who))) if data and decode(at(MenuAction, data).label) == "Access level")
    chosen = (decode(at(MenuAction, data).label) for data in links(levels) if data)
    say("access", who, *(label.removeprefix("= ") for label in chosen if label.startswith("= ")))


def chat_say(name, text):
    chat = purple.purple_conversation_get_chat_data(conversation(CHAT, name.encode()))
    purple.serv_chat_send(connection(), purple.purple_conv_chat_get_id(chat), markup(text), 0)


def search(label, text):
    plugin = purple.purple_connection_get_prpl(connection())
    actions = (at(PluginAction, data) for data in links(plugin_info().actions(plugin, connection())) if data)
    action = next(action for action in actions if decode(action.label).startswith("Contact search"))
    action.plugin, action.context = plugin, connection()
    ctypes.CFUNCTYPE(None, POINTER)(action.callback)(ctypes.addressof(action))
    fields, ok, data = form
    by_label = {}
    for group_ in links(purple.purple_request_fields_get_groups(fields)):
        for field in links(purple.purple_request_field_group_get_fields(group_)):
            by_label[decode(purple.purple_request_field_get_label(field))] = field
    if label not in by_label:
        fail(f"no {label!r} among {sorted(by_label)}")
    purple.purple_request_field_string_set_value(by_label[label], text.encode())
    ok(data, fields)


def allow(who):
    yes, data = asking.pop(who)
    yes(data)


lib.run(account, {
    "add": add,
    "remove": remove,
    "alias": rename,
    "move": lambda who, name: purple.purple_blist_add_buddy(contact(who), None, group(name), None),
    "group-rename": lambda old, new: purple.purple_blist_rename_group(group(old), new.encode()),
    "group-remove": group_remove,
    "contacts": contacts,
    "status": set_status,
    "im": im,
    "typing": lambda who, state: purple.serv_send_typing(connection(), uri(who), int(state)),
    "close": lambda who: purple.purple_conversation_destroy(conversation(IM, uri(who))),
    "deny": lambda who: purple.purple_privacy_deny(account, uri(who), 0, 0),
    "undeny": lambda who: purple.purple_privacy_allow(account, uri(who), 0, 0),
    "allow": allow,
    "menu": menu,
    "access": access,
    "say": chat_say,
    "leave": lambda name: purple.purple_conversation_destroy(conversation(CHAT, name.encode())),
    "search": search,
    "info": lambda who: purple.serv_get_info(connection(), uri(who)),
})
