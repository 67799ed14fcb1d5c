"""One user of a checkpoint, decoded, or the error that says how to find others."""

from livetower.inspect.codes import inspect_error
from livetower.inspect.reading import LearnedState, StoredUser
from models.user_state import InvalidState, UserState, decode_user_state


def stored_user(state: LearnedState, user_id: str) -> StoredUser:
    """The user's blob. Raises InspectError if there is none."""
    stored = state.user(user_id)
    if stored is None:
        raise inspect_error("LT-INS-301", f"{state.uri} holds no user {user_id!r}")
    return stored


def decoded(state: LearnedState, stored: StoredUser) -> UserState:
    """The state in the blob. Raises InspectError."""
    try:
        return decode_user_state(stored.blob)
    except InvalidState as error:
        newer = stored.blob[:3] == b"LTU" and stored.blob[3:4].isdigit() and stored.blob[:4] not in (b"LTU1", b"LTU2")
        code = "LT-INS-202" if newer else "LT-INS-201"
        raise inspect_error(code, f"{state.uri}: user {stored.user_id!r}: {error}") from error
