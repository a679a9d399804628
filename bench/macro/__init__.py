"""camfleet against a floor and against another server, side by side: `make bench`. See bench/README.md."""
