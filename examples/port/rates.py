"""Exchange rates as I looked them up for the trip; one euro is so much."""

EURO: dict[str, float] = {"EUR": 1.0, "USD": 1.1, "JPY": 160.0, "GEL": 3.0, "RUB": 95.0}


def convert(amount: float, source: str, target: str) -> float:
    return round(amount / EURO[source] * EURO[target], 2)
