"""What goes to the service: edits and deletions, answered only after it has confirmed them."""

from .brake import Brake
from .deletions import BrakeState, Deletions, Policy, deleting
from .edits import Editing, editing
from .journal import Journal

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
