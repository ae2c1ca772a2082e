-- Tables as Genius has them, and a few of their rows: invented people at example.com.
CREATE TABLE division_region (id INT PRIMARY KEY, label VARCHAR(64));
CREATE TABLE division_group (
  id SMALLINT PRIMARY KEY, group_label VARCHAR(64), region INT, default_time_zone_name VARCHAR(32),
  is_active TINYINT(1), hub_account_id VARCHAR(32), payroll_key VARCHAR(64), payment_secret VARCHAR(64),
  created_at DATETIME, updated_at DATETIME);
CREATE TABLE division (
  id INT PRIMARY KEY, group_id INT, region_id INT, label VARCHAR(64), abbreviation VARCHAR(8),
  is_utility TINYINT(1), is_corp TINYINT(1), is_omniscient TINYINT(1), is_inactive TINYINT(1),
  account_scheduler_id INT, created_at DATETIME, updated_at DATETIME);
CREATE TABLE user_title (
  id INT PRIMARY KEY, title VARCHAR(64), abbreviation VARCHAR(8), roles VARCHAR(64), type_id INT,
  section_id INT, sort INT, pay_component_group_id INT, is_active TINYINT(1),
  is_unique_per_division TINYINT(1), created_at DATETIME, updated_at DATETIME);
CREATE TABLE user_data (
  id INT PRIMARY KEY, division INT, first_name VARCHAR(32), first_name_alt VARCHAR(32), last_name VARCHAR(32),
  email VARCHAR(128), personal_email VARCHAR(128), password VARCHAR(128), birth_date DATE, gender_id INT,
  marital_status_id INT, time_zone_name VARCHAR(32), title INT, manager INT, hired_on DATETIME,
  start_date DATETIME, add_user INT, add_datetime DATETIME, is_inactive TINYINT(1), inactive_on DATETIME,
  inactive_reason_id INT, inactive_reason_other VARCHAR(64), inactive_transfer_division_id INT,
  updated_at DATETIME, KEY (updated_at));
CREATE TABLE users_userassociations (user_id INT, primary_user_id INT);
CREATE TABLE service (
  id INT PRIMARY KEY, label VARCHAR(64), is_active TINYINT(1), is_lead_required TINYINT(1), order_number INT,
  created_at DATETIME, updated_at DATETIME);
CREATE TABLE marketing_source_type (
  id INT PRIMARY KEY, label VARCHAR(64), description TEXT, is_active TINYINT(1), list_order INT,
  created_at DATETIME, updated_at DATETIME);
CREATE TABLE marketing_source (
  id INT PRIMARY KEY, type_id INT, label VARCHAR(64), description TEXT, start_date DATE, end_date DATE,
  add_user_id INT, add_date DATETIME, is_active TINYINT(1), is_allow_lead_modification TINYINT(1),
  updated_at DATETIME);
CREATE TABLE marketsharp_source (
  id INT PRIMARY KEY, marketsharp_id VARCHAR(256), source_name VARCHAR(256), inactive TINYINT(1),
  created_at DATETIME, updated_at DATETIME);
CREATE TABLE marketsharp_marketing_source_map (
  marketsharp_id VARCHAR(191) PRIMARY KEY, marketing_source_id INT, created_at DATETIME, updated_at DATETIME);
CREATE TABLE third_party_source_type (id INT PRIMARY KEY, label VARCHAR(32));
CREATE TABLE third_party_source (
  id INT PRIMARY KEY, third_party_source_type_id INT, third_party_id VARCHAR(64));
CREATE TABLE prospect (
  id INT PRIMARY KEY, division_id INT NOT NULL, user_id INT, first_name VARCHAR(64), last_name VARCHAR(64),
  alt_first_name VARCHAR(64), alt_last_name VARCHAR(64), address1 VARCHAR(64), address2 VARCHAR(64),
  city VARCHAR(64), county VARCHAR(64), state CHAR(2), zip VARCHAR(20), year_built SMALLINT, phone1 VARCHAR(20),
  phone2 VARCHAR(20), email VARCHAR(128), notes TEXT, add_user_id INT NOT NULL, add_date DATETIME,
  marketsharp_id TEXT, leap_customer_id TEXT, third_party_source_id INT, is_address_valid TINYINT(1),
  updated_at DATETIME, KEY (updated_at));
CREATE TABLE prospect_source (
  id INT PRIMARY KEY, prospect_id INT NOT NULL, marketing_source_id INT NOT NULL, source_date DATETIME,
  notes TEXT, add_user_id INT, add_date DATETIME, source_user_id INT, updated_at DATETIME);
CREATE TABLE `lead` (
  lead_id INT PRIMARY KEY, contact INT, division INT, first_name VARCHAR(64), last_name VARCHAR(64),
  address1 VARCHAR(64), address2 VARCHAR(64), city VARCHAR(64), state CHAR(2), zip VARCHAR(7),
  cdyne_county VARCHAR(64), email VARCHAR(128), phone1 VARCHAR(12), type1 SMALLINT, phone2 VARCHAR(12),
  type2 SMALLINT, phone3 VARCHAR(12), type3 SMALLINT, phone4 VARCHAR(12), type4 SMALLINT, source SMALLINT,
  source_notes VARCHAR(64), sourced_on DATETIME, job_type INT DEFAULT 2, rating INT, year_built CHAR(4),
  notes TEXT, status INT, substatus INT, substatus_reason VARCHAR(64), added_by INT DEFAULT 0,
  added_on DATETIME, added_by_latitude DECIMAL(9,7), added_by_longitude DECIMAL(10,7), viewed_on DATETIME,
  is_estimate_set TINYINT(1), estimate_set_by INT, estimate_set_on DATETIME, dead_on DATETIME, dead_by INT,
  dead_note VARCHAR(64), lead_cost FLOAT DEFAULT 20, import_source VARCHAR(64), copied_to_id INT,
  copied_to_on DATETIME, copied_from_id INT, copied_from_on DATETIME, with_dm INT, agent_id VARCHAR(32),
  agent_name VARCHAR(64), is_dnc TINYINT(1), is_dummy TINYINT(1), do_not_call_before DATETIME,
  marketing_source INT, prospect_id INT, salesrabbit_lead_id VARCHAR(32), third_party_source_id INT,
  updated_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00');
CREATE TABLE appointment_type (id INT PRIMARY KEY, label VARCHAR(64), is_active TINYINT(1));
CREATE TABLE appointment_outcome_type (
  id INT PRIMARY KEY, label VARCHAR(64), sort_idx INT, is_active TINYINT(1), created_at DATETIME,
  updated_at DATETIME);
CREATE TABLE appointment_outcome (
  id INT PRIMARY KEY, type_id INT, label VARCHAR(64), is_active TINYINT(1), created_at DATETIME,
  updated_at DATETIME);
CREATE TABLE appointment (
  id INT PRIMARY KEY, prospect_id INT NOT NULL, prospect_source_id INT, user_id INT, type_id INT NOT NULL,
  `date` DATE, `time` TIME, duration TIME, address1 VARCHAR(64), address2 VARCHAR(64), city VARCHAR(64),
  state CHAR(2), zip VARCHAR(20), email VARCHAR(128), notes TEXT, add_user_id INT, add_date DATETIME NOT NULL,
  assign_date DATETIME, confirm_user_id INT, confirm_date DATETIME, confirm_with VARCHAR(64),
  spouses_present TINYINT(1), is_complete TINYINT(1), complete_outcome_id INT, complete_user_id INT,
  complete_date DATETIME, marketsharp_id TEXT, marketsharp_appt_type TEXT, leap_estimate_id TEXT,
  third_party_source_id INT, marketing_task_id INT DEFAULT 0, updated_at DATETIME);
CREATE TABLE appointment_to_service (
  appointment_id INT, service_id INT, created_at DATETIME, updated_at DATETIME,
  PRIMARY KEY (appointment_id, service_id));
CREATE TABLE quote (
  id INT PRIMARY KEY, prospect_id INT NOT NULL, appointment_id INT NOT NULL, job_id INT, client_cid VARCHAR(32),
  service_id INT NOT NULL, label VARCHAR(128), description TEXT, amount DECIMAL(10,2), expire_date DATE,
  status_id INT DEFAULT 1, contract_file_id INT, estimate_file_id INT, add_user_id INT, add_date DATETIME,
  updated_at DATETIME, KEY (updated_at));
CREATE TABLE job_status (id INT PRIMARY KEY, label VARCHAR(64), is_system TINYINT(1));
CREATE TABLE job (
  id INT PRIMARY KEY, client_cid VARCHAR(32), prospect_id INT NOT NULL, division_id INT NOT NULL, user_id INT,
  production_user_id INT, project_coordinator_user_id INT, subcontractor_id INT, status INT DEFAULT 10,
  ready_status INT, service_id INT, contract_number VARCHAR(32), contract_date DATE,
  contract_amount DECIMAL(11,2), contract_hours FLOAT, job_value DECIMAL(11,2), deposit_amount DECIMAL(11,2),
  deposit_type_id INT, is_financing TINYINT(1), sales_tax_rate DECIMAL(7,5), commission_payout DECIMAL(11,2),
  sold_user_id INT, sold_date DATE, start_request_date DATE, deadline_date DATE, ready_date DATE,
  start_date DATE, end_date DATE, add_user_id INT, add_date DATETIME, cancel_date DATETIME, cancel_user_id INT,
  cancel_reason_id INT, is_refund TINYINT(1), refund_date DATE, finish_date DATE, measure_date DATE,
  measure_time TIME, time_format VARCHAR(8), materials_ordered DATE, price_level VARCHAR(32),
  price_level_commission DECIMAL(3,1), hoa TINYINT(1), hoa_approved TINYINT(1), install_date DATE,
  install_time TIME, payment_type INT, payment_amount DECIMAL(11,2), updated_at DATETIME);
CREATE TABLE job_financing (
  job_id INT PRIMARY KEY, term_id INT, financed_amount DECIMAL(9,2), max_financed_amount DECIMAL(9,2),
  bid_rate DECIMAL(5,3), signed_on DATETIME, status INT, applicant VARCHAR(64), co_applicant VARCHAR(64),
  approved_on DATETIME, denied_on DATETIME);
CREATE TABLE job_change_order_status (id INT PRIMARY KEY, label VARCHAR(64));
CREATE TABLE job_change_order_type (id INT PRIMARY KEY, label VARCHAR(64));
CREATE TABLE job_change_order_reason (id INT PRIMARY KEY, label VARCHAR(64), is_active TINYINT(1));
CREATE TABLE job_change_order (
  id INT PRIMARY KEY, job_id INT NOT NULL, number INT, status_id INT, type_id INT,
  adjustment_change_order_id INT, effective_date DATE, total_amount DECIMAL(9,2), add_user_id INT,
  add_date DATETIME, sold_user_id INT, sold_date DATE, cancel_user_id INT, cancel_date DATETIME, reason_id INT,
  envelope_id VARCHAR(64), total_contract_amount DECIMAL(11,2), total_pre_change_orders_amount DECIMAL(11,2),
  signer_name VARCHAR(64), signer_email VARCHAR(128), financing_note TEXT, updated_at DATETIME);
CREATE TABLE job_change_order_item (
  id INT PRIMARY KEY, change_order_id INT, description TEXT, amount DECIMAL(8,2), created_at DATETIME,
  updated_at DATETIME);
CREATE TABLE integration_field_definition (id INT PRIMARY KEY, label VARCHAR(64));
CREATE TABLE integration_field (id INT PRIMARY KEY, definition_id INT, value TEXT);

INSERT INTO division_region VALUES (1, 'East');
INSERT INTO division_group VALUES (3, 'Mid-Atlantic', 1, 'US/Eastern', 1, NULL, 'canary-payroll', 'canary-payment',
  '2020-01-01 00:00:00', '2024-01-02 08:00:00');
INSERT INTO division VALUES (12, 3, 1, 'Baltimore', 'BAL', 0, 0, 0, 0, 4002, '2020-01-01 00:00:00',
  '2024-01-02 08:00:00');
INSERT INTO user_title (id, title, updated_at) VALUES (7, 'Estimator', '2024-01-02 08:00:00');
INSERT INTO user_data (id, division, first_name, last_name, email, password, birth_date, title, manager, hired_on,
  is_inactive, updated_at) VALUES
  (4101, 12, 'Dana', 'Okafor', 'Dana.Okafor@Example.com ', 'canary-password', '1989-04-17', 7, 4002,
   '2021-03-01 00:00:00', 0, '2025-06-01 08:00:00'),
  (4002, 12, 'Sam', 'Reyes', NULL, 'canary-password', '0000-00-00', -1, 4002, '0000-00-00 00:00:00', 0,
   '2025-05-01 08:00:00'),
  (4001, 0, 'Sam', 'Reyes', 'sam', 'canary-password', NULL, NULL, 0, NULL, 1, '2025-05-01 08:00:00');
INSERT INTO users_userassociations VALUES (4002, 4001), (4002, 4101), (4101, 4101);
INSERT INTO service VALUES (4, 'Roofing', 1, 0, 10, '2020-01-01 00:00:00', '2024-01-02 08:00:00'),
  (5, 'Gutters', 1, 0, 20, '2020-01-01 00:00:00', '2024-01-02 08:00:00');
INSERT INTO marketing_source VALUES (61, 0, 'Radio', NULL, '2024-01-01', NULL, 1, '2023-12-20 10:00:00', 1, 0,
  '2024-01-02 08:00:00');
INSERT INTO third_party_source_type VALUES (1, 'hubspot'), (2, 'salesrabbit');
INSERT INTO third_party_source VALUES (44, 1, '901'), (45, 2, 'SR-31');
INSERT INTO prospect (id, division_id, user_id, first_name, last_name, address1, address2, city, state, zip, phone1,
  email, notes, add_user_id, add_date, third_party_source_id, is_address_valid, updated_at) VALUES
  (880123, 12, 4101, 'Marisol', 'Vance', '18 Alder Ct', '', 'Towson', 'MD', '01234', '410.555.0142',
   'MVance@Example.com ', 'Gate code 4\nDog', 4101, '2025-06-02 13:20:11', 44, 1, '2025-06-02 13:20:11'),
  (880124, 0, -1, 'Tomas', 'Vance', NULL, NULL, NULL, NULL, NULL, 'none', 'none', NULL, 0, '0000-00-00 00:00:00',
   45, 2, '2025-06-02 13:20:11');
INSERT INTO prospect_source VALUES (70011, 880123, 61, '2025-06-01 09:15:00', NULL, 4101, '2025-06-02 13:20:11', NULL,
  '2025-06-02 13:20:11');
INSERT INTO `lead` (lead_id, contact, division, first_name, last_name, phone1, type1, added_by, added_on, with_dm,
  marketing_source, prospect_id, added_by_latitude, updated_at) VALUES
  (990071, 0, 12, 'Marisol', 'Vance', '4105550142', 1, 0, '2025-06-01 09:15:00', -1, 61, 880123, 39.4015,
   '2025-06-02 13:20:11'),
  (990072, 0, 0, 'Tomas', NULL, '', NULL, 4101, '2025-06-01 09:20:00', 1, 0, NULL, NULL, DEFAULT);
INSERT INTO appointment_type VALUES (1, 'Estimate', 1);
INSERT INTO appointment (id, prospect_id, prospect_source_id, user_id, type_id, `date`, `time`, duration, add_user_id,
  add_date, assign_date, is_complete, complete_outcome_id, third_party_source_id, updated_at) VALUES
  (550017, 880123, 70011, 4101, 1, '2025-06-05', '14:30:00', '02:00:00', 4101, '2025-06-02 13:22:40',
   '0000-00-00 00:00:00', 0, 0, 44, '2025-06-02 13:22:40'),
  (550018, 880999, NULL, 0, 1, '0000-00-00', '25:30:00', '36:15:00', 4101, '2025-06-02 13:22:40', NULL, 1, NULL,
   NULL, '2025-06-02 13:22:40');
INSERT INTO appointment_to_service VALUES (550017, 4, '2025-06-02 13:22:40', '2025-06-02 13:22:40'),
  (550017, 5, '2025-06-02 13:22:40', '2025-06-02 13:22:40');
INSERT INTO quote VALUES (31007, 880123, 550017, 22010, NULL, 4, 'Roof – good/better/best', NULL, 18450.00,
  '2025-07-05', 1, NULL, NULL, 4101, '2025-06-05 16:40:00', '2025-06-05 16:40:00');
INSERT INTO job_status VALUES (10, 'Sold', 1);
INSERT INTO job (id, prospect_id, division_id, user_id, status, service_id, contract_number, contract_date,
  contract_amount, contract_hours, is_financing, sales_tax_rate, sold_date, measure_date, measure_time,
  price_level_commission, updated_at) VALUES
  (22010, 880123, 12, 4101, 10, 4, 'BAL-22010', '2025-06-05', 18450.00, 42.5, 0, 0.06, '2025-06-05', '2025-06-09',
   '09:00:00', 8.5, '2025-06-05 16:40:00');
INSERT INTO job_financing (job_id, financed_amount, bid_rate) VALUES (22010, 9000.00, 6.99);
INSERT INTO job_change_order_status VALUES (2, 'Signed');
INSERT INTO job_change_order (id, job_id, number, status_id, adjustment_change_order_id, total_amount, updated_at)
  VALUES (9001, 22010, 1, 2, NULL, -250.50, '2025-06-07 10:00:00'),
  (9002, 22010, 2, 2, 9001, 250.50, '2025-06-07 10:00:00');
INSERT INTO job_change_order_item VALUES (9101, 9001, 'Rotten deck', -250.50, '2025-06-07 10:00:00',
  '2025-06-07 10:00:00');
