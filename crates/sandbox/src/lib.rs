//! Genesys and an SMS provider, simulated, with faults on purpose and a web page.
