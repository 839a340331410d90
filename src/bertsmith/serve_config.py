"""How a server listens, and what it takes."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import Field, model_validator

from bertsmith.config import Config


class ServeConfig(Config):
    """Where the server listens, who may ask, and how much."""

    host: str = Field("127.0.0.1", description="Address to listen on; anything but loopback needs --key.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    key: tuple[str, ...] = Field(
        (),
        repr=False,
        description="A key that clients send as `Authorization: Bearer KEY`; may be given several times. Better in the "
        "environment, BERTSMITH_KEY, where other users of the machine do not see it.",
    )
    no_key_needed: bool = Field(
        False, description="Listen beyond loopback without a key: everyone who reaches the port may ask."
    )
    queue: int = Field(
        256, ge=1, description="Requests that may wait or be computed; what comes beyond is refused at once, with 503."
    )
    timeout_s: float = Field(
        30.0, gt=0, description="Seconds until a request is given up, with 504. What would wait longer is refused."
    )
    batch_wait_ms: float = Field(
        3.0, ge=0, le=100, description="Milliseconds that a batch waits for others that are on their way."
    )
    max_body_bytes: int = Field(4 << 20, ge=1024, description="Bytes of a request; more is refused with 413.")
    max_texts: int = Field(256, ge=1, description="Texts of a request; more are refused with 422.")
    max_characters: int = Field(32_768, ge=1, description="Characters of a text; more are refused with 422.")

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if any(not key.strip() or not key.isascii() or not key.isprintable() or " " in key for key in self.key):
            raise ValueError("a key is printable ASCII without blanks")
        if not (self.is_loopback or self.key or self.no_key_needed):
            raise ValueError(
                f"host {self.host} can be reached from elsewhere: give --key (or BERTSMITH_KEY), "
                "or say --no-key-needed if everyone may ask"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def address(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host.lower()
