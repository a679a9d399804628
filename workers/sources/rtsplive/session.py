"""One visit to an upstream server, in a thread: from the connection to the last picture."""

import contextlib
import time

from camfleet.core.rtsp.client import (
    Account,
    ClientConnection,
    LoginRefusedError,
    Media,
    RedirectError,
    ServerError,
    ServerURL,
    UDPPorts,
)
from camfleet.core.wire import RTSPLive

from ...clockmap import NS_PER_S
from ..base import SourceError
from ..upstream import Interrupt, Listener, MediaClock, TrackReceiver
from .datagrams import Datagrams
from .link import Link, LinkError, TLSOptions

START_TIMEOUT_NS = 15 * NS_PER_S  # from the first packet of the connection to the answer to PLAY
ANSWER_TIMEOUT_NS = 10 * NS_PER_S
MAX_REDIRECTS = 3


class RTSPSession:
    """A Session."""

    absence = ""

    def __init__(self, source: RTSPLive, interrupt: Interrupt, listener: Listener) -> None:
        self.skipped = 0  # access units that were damaged, or referred to such
        self.refused = False  # the user or the password
        self._source = source
        self._interrupt = interrupt
        self._listener = listener
        self._url = ServerURL.parse(source.url)
        self._tls = TLSOptions(verify=source.verify, ca_file=source.ca_file, fingerprint=source.fingerprint)

    def run(self) -> None:
        url = self._url
        for _ in range(MAX_REDIRECTS + 1):
            try:
                self._visit(url)
            except RedirectError as redirect:
                url = self._followed(url, redirect.url)
            except (ServerError, LinkError) as error:
                self.refused = isinstance(error, LoginRefusedError)
                raise SourceError(f"{url.place} {error}") from None
            except SourceError as error:
                raise SourceError(f"{url.place} {error}") from None
        raise SourceError(f"{self._url.place} redirects more than {MAX_REDIRECTS} times")

    def _followed(self, url: ServerURL, target: str) -> ServerURL:
        """On the same host only, and never out of TLS: nobody but the operator says who gets the password, and what
        else is there in his network is nobody's business."""
        try:
            found = ServerURL.parse(target)
        except ValueError:
            raise SourceError(f"{url.place} redirects to what is no address of RTSP") from None
        if url.tls and not found.tls:
            raise SourceError(f"{url.place} redirects to {found.place}, out of TLS; that is not followed")
        if found.host.lower() != url.host.lower():
            wrong = "another host is not followed: if it is right, make it the `url`"
            raise SourceError(f"{url.place} redirects to {found.place}; {wrong}")
        return found

    def _visit(self, url: ServerURL) -> None:
        began_ns = time.monotonic_ns()
        start_deadline_ns = began_ns + START_TIMEOUT_NS
        with contextlib.ExitStack() as stack:
            link = Link.open(url, self._tls, self._interrupt, start_deadline_ns)
            stack.callback(link.close)
            visit = _Visit(self._source, url, link, self._listener)
            stack.callback(visit.close)
            while not visit.is_playing:
                if time.monotonic_ns() >= start_deadline_ns:
                    raise ServerError(f"has not begun to play after {START_TIMEOUT_NS // NS_PER_S} s")
                visit.turn(start_deadline_ns)
            while True:
                visit.turn(time.monotonic_ns() + NS_PER_S)
                self.skipped = visit.skipped


class _Visit:
    """One connection and its media."""

    def __init__(self, source: RTSPLive, url: ServerURL, link: Link, listener: Listener) -> None:
        account = Account(source.user, source.password, url.tls or source.basic) if source.user else None
        self._link = link
        self._listener = listener
        self._rtsp = ClientConnection(
            url.text,
            account=account,
            open_ports=self._open_ports if source.udp else None,
            now_ns=time.monotonic_ns(),
        )
        self._buffer = bytearray()
        self._datagrams: Datagrams | None = None
        self._receiver: TrackReceiver | None = None

    @property
    def is_playing(self) -> bool:
        return self._rtsp.is_playing

    @property
    def skipped(self) -> int:
        return self._receiver.skipped if self._receiver else 0

    def close(self) -> None:
        with contextlib.suppress(LinkError, ServerError):
            self._rtsp.teardown(time.monotonic_ns())
            self._link.send(self._rtsp.data_to_send())
        if self._datagrams:
            self._datagrams.close()

    def turn(self, deadline_ns: int) -> None:
        """Send what is due, wait for what comes, and take it in."""
        now_ns = time.monotonic_ns()
        self._keep_up(now_ns)
        self._link.send(self._rtsp.data_to_send())
        self._link.wait(min(deadline_ns, self._due_ns()))
        now_ns = time.monotonic_ns()
        if self._receiver and not self.is_playing:
            self._receiver.rest(now_ns)
        self._buffer += self._link.receive()
        self._read(now_ns)
        if self._receiver is None:
            return
        if self._datagrams:
            for packet in self._datagrams.packets(now_ns):
                self._receiver.take_packet(packet, now_ns)
            for report in self._datagrams.reports():
                self._receiver.take_report(report, now_ns)
        self._receiver.deliver(now_ns)

    def _due_ns(self) -> int:
        due_ns = self._rtsp.keep_alive_due_ns
        if self._receiver and self.is_playing:
            due_ns = min(due_ns, self._receiver.due_ns)
        if self._datagrams and self._datagrams.due_ns is not None:
            due_ns = min(due_ns, self._datagrams.due_ns)
        return due_ns

    def _keep_up(self, now_ns: int) -> None:
        waiting_ns = self._rtsp.waiting_since_ns
        if waiting_ns is not None and now_ns - waiting_ns > ANSWER_TIMEOUT_NS:
            if not self.is_playing:
                raise ServerError(f"does not answer a request within {ANSWER_TIMEOUT_NS // NS_PER_S} s")
            self._rtsp.wait_no_more()
        receiver = self._receiver
        if not self.is_playing or receiver is None:
            return
        self._rtsp.keep_alive(now_ns)
        if fault := receiver.fault(now_ns):
            blocked = self._datagrams is not None and not receiver.has_media
            hint = '; try `transport` "tcp", which firewalls let through' if blocked else ""
            raise ServerError(fault + hint)
        if receiver.sender_has_left:
            raise ServerError("has ended the stream")
        if self._datagrams is None:
            self._link.send(receiver.report_frame(now_ns))
        elif report := receiver.report(now_ns):
            self._datagrams.send_rtcp(report)

    def _open_ports(self) -> UDPPorts:
        if self._datagrams is None:
            self._datagrams = Datagrams.open(self._link)
        return self._datagrams.ports

    def _read(self, now_ns: int) -> None:
        """RTSP and RTP as they come in one stream (RFC 2326 10.12)."""
        buffer = self._buffer
        while buffer:
            if buffer[0] != 0x24:
                if not self._rtsp.receive(buffer, now_ns):
                    return
                if self._rtsp.media is not None and self._receiver is None:
                    self._receiver = self._begin(self._rtsp.media, now_ns)
                continue
            if self._receiver:
                if not self._receiver.take_frame(buffer, now_ns):
                    return
                continue
            size = 4 + int.from_bytes(buffer[2:4]) if len(buffer) >= 4 else 4
            if len(buffer) < size:
                return
            del buffer[:size]  # nobody has asked for any

    def _begin(self, media: Media, now_ns: int) -> TrackReceiver:
        if self._datagrams:
            self._datagrams.aim(media.server_ports)
        return TrackReceiver(media.track, media.channels, self._listener, MediaClock(), now_ns)
