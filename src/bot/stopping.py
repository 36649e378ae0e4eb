"""Whether this process is about to stop: streams without an end of their own then end, and their clients reconnect."""

import threading

stopping = threading.Event()
"""Set by the server when it shuts down."""
