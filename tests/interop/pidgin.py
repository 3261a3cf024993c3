#!/usr/bin/env python3
"""One headless Pidgin: libpurple's SIMPLE protocol (prpl-simple), without a window.

usage: pidgin.py USER@DOMAIN HOST PORT STATE_DIR

Commands, in the form that `purple.py` says:

    buddy USER@DOMAIN         watch somebody (Pidgin subscribes about ten seconds later)
    im USER@DOMAIN TEXT       a message; TEXT is plain text
    quit                      signs off and ends

Events: `signed-on`, `signed-off`, `error TEXT`, `im FROM TEXT`, `presence BUDDY STATUS` with available or offline, which is all that
prpl-simple knows.
"""

import html
import sys

import purple as lib
from purple import INT, POINTER, TEXT, decode, markup, on, purple, say

if len(sys.argv) != 5:
    sys.exit(__doc__)
ACCOUNT, HOST, PORT, STATE_DIR = sys.argv[1:]

lib.begin(STATE_DIR)
account = lib.new_account(ACCOUNT, b"prpl-simple", {"udp": False, "dopublish": True, "useproxy": True, "proxy": HOST, "port": int(PORT)})


def received(_account, sender, text, _conversation, _flags):
    say("im", decode(sender), html.unescape(decode(text)))


def came_or_went(status):
    return lambda buddy: say("presence", decode(purple.purple_buddy_get_name(buddy)), status)


on(purple.purple_conversations_get_handle(), b"received-im-msg", (POINTER, TEXT, TEXT, POINTER, INT), received)
buddies = purple.purple_blist_get_handle()
on(buddies, b"buddy-signed-on", (POINTER,), came_or_went("available"))
on(buddies, b"buddy-signed-off", (POINTER,), came_or_went("offline"))


def add_buddy(name):
    buddy = purple.purple_buddy_new(account, name.encode(), None)
    purple.purple_blist_add_buddy(buddy, None, None, None)
    purple.purple_account_add_buddy(account, buddy)


def im(to, text):
    gc = purple.purple_account_get_connection(account)
    if gc:
        purple.serv_send_im(gc, to.encode(), markup(text), 0)
    else:
        say("error", "not connected")


lib.run(account, {"buddy": add_buddy, "im": im})
