"""camfleet.core: what supervisor and workers share; imports neither of them."""
