"""The Textual app: screens that show and ask, over an opened session; nothing here decides or knows a service.

session   what the app is handed: one target, opened, as a Protocol
intents   what a person asks for: a decision, and the command that does the same
rows      one application as the list shows it; detail: as the pane beside it does
table     rows of any number, of which only those in sight are drawn
app       the frame: the target, what was observed and how old that is, the request log, keys and palette
screens/  one module each

Must never do I/O itself: whatever may take time is a call of the session, in a worker of its own.
"""
