//! The dirty set of an Adj-RIB-Out → UPDATE messages.
