-- Up Migration
CREATE SEQUENCE seq_inv;

CREATE TABLE inv (
  inv_id bigint PRIMARY KEY DEFAULT nextval('seq_inv'),
  ord_id bigint NOT NULL CONSTRAINT uq_inv_ord UNIQUE CONSTRAINT fk_inv_ord REFERENCES ord (ord_id),
  amt numeric(18, 2) NOT NULL,
  cur char(3) NOT NULL,
  sts char(1) NOT NULL DEFAULT 'O' CONSTRAINT ck_inv_sts CHECK (sts IN ('O', 'P')),
  due_dt date NOT NULL,
  crt_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE SEQUENCE seq_pay;

CREATE TABLE pay (
  pay_id bigint PRIMARY KEY DEFAULT nextval('seq_pay'),
  inv_id bigint NOT NULL CONSTRAINT fk_pay_inv REFERENCES inv (inv_id),
  amt numeric(18, 2) NOT NULL CONSTRAINT ck_pay_amt CHECK (amt > 0),
  mth char(1) NOT NULL CONSTRAINT ck_pay_mth CHECK (mth IN ('C', 'T', 'D')),
  crt_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE INDEX ix_pay_inv ON pay (inv_id);

-- Down Migration
DROP TABLE pay;
DROP SEQUENCE seq_pay;
DROP TABLE inv;
DROP SEQUENCE seq_inv;
