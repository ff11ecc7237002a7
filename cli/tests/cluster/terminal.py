"""Runs a program on a pseudo terminal: `terminal.py LINES COLUMNS PROGRAM ARGUMENTS...`.

Copies the program's output to standard output. The exit status is the program's, or 128 plus the number of the signal that
ended it. Each line of standard input is a command: `size LINES COLUMNS` resizes the window, `type TEXT` types the JSON string
TEXT, `signal NUMBER` sends a signal to the program, `close` closes the window.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios


def resize(terminal, lines, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", int(lines), int(columns), 0, 0))


def execute(child, terminal, command):
    word, _, rest = command.partition(" ")
    if word == "size":
        resize(terminal, *rest.split())
    elif word == "signal":
        os.kill(child, int(rest))
    elif word == "type":
        os.write(terminal, json.loads(rest).encode())
    else:
        os.close(terminal)
        return False
    return True


def main(lines, columns, *command):
    # The child waits until the window has its size.
    reading, writing = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        os.execvp(command[0], command)
    resize(terminal, lines, columns)
    # Without NOFLSH, a key that sends a signal discards output that has not been read yet.
    settings = termios.tcgetattr(terminal)
    settings[3] |= termios.NOFLSH
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    os.close(writing)
    commands = b""
    sources = [terminal, sys.stdin.fileno()]
    is_open = True
    while is_open:
        ready, _, _ = select.select(sources, [], [])
        if terminal in ready:
            try:
                written = os.read(terminal, 65536)
            except OSError:
                break
            if not written:
                break
            sys.stdout.buffer.write(written)
            sys.stdout.buffer.flush()
        if sys.stdin.fileno() in ready:
            given = os.read(sys.stdin.fileno(), 65536)
            if not given:
                sources.remove(sys.stdin.fileno())
            commands += given
            *whole, commands = commands.split(b"\n")
            for command in whole:
                is_open = is_open and execute(child, terminal, command.decode())
    _, status = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(status)
    return status if status >= 0 else 128 - status


sys.exit(main(*sys.argv[1:]))
