"""The only room of core that touches descriptors: the fan-out engine and the passing of descriptors."""
