"""What goes to the service: edits and deletions, answered only after it has confirmed them."""

from .brake import Brake
from .deletions import Deletions, Policy, deleting
from .edits import Editing, editing
from .journal import Journal
from .ledger import BrakeState

__all__ = [
    "Brake",
    "BrakeState",
    "Deletions",
    "Editing",
    "Journal",
    "Policy",
    "deleting",
    "editing",
]
