package otel

// PendingAttr marks a span that has not begun its work; newer releases of this package define it.
const PendingAttr = "dagger.io/ui.pending"
