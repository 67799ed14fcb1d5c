"""How often lists held what their users did next, beside a list of what is popular. Pure counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HitRates:
    """Hits among `scored` events; both rates are over the same events."""

    scored: int
    live_hits: int
    popularity_hits: int

    @property
    def live(self) -> float | None:
        """Share of the scored events that the live list held; None if none was scored."""
        return self.live_hits / self.scored if self.scored > 0 else None

    @property
    def popularity(self) -> float | None:
        """Share of the scored events that the popularity list held; None if none was scored."""
        return self.popularity_hits / self.scored if self.scored > 0 else None

    @property
    def ratio(self) -> float | None:
        """Live hits per popularity hit; None while popularity has no hit."""
        return self.live_hits / self.popularity_hits if self.popularity_hits > 0 else None
