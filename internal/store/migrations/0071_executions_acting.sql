-- What guards ask of all executions: which act now, and which acted within the cooldown.
CREATE INDEX executions_acting ON executions (acting, ended);
CREATE INDEX executions_when ON executions (acted, entity);
