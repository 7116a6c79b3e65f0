-- Hand-overs of which a report has spoken, or from which none is awaited any more. TP-MR is one octet:
-- only with what came before it in mind can a report be told from a copy of an older part's (23.040
-- 9.2.3.6). Kept for as long as a report may still be taken for another's (handovers.forget).
CREATE TABLE hand_over (
  sim TEXT NOT NULL,
  reference INTEGER NOT NULL,         -- TP-MR; -1: nobody ever told it
  handed_at INTEGER NOT NULL,
  message INTEGER NOT NULL,
  number INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  taken_by INTEGER NOT NULL,          -- by then the network had it, if ever
  submitted_at INTEGER,               -- TP-SCTS, the same in all its reports; NULL: no report with one came
  PRIMARY KEY (sim, reference, handed_at, message, number)
) WITHOUT ROWID;
